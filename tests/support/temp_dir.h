// A directory of the test's own, removed with everything in it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "tests/support/test.h"

namespace acrn::test {

class TempDir {
 public:
  TempDir() {
    const char* base = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/acrn-test-XXXXXX";
    expect(mkdtemp(pattern.data()) != nullptr, "mkdtemp " + pattern, __FILE__, __LINE__);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  // A sparse file of `size` bytes.
  std::string file(const std::string& name, uintmax_t size) const {
    { const std::ofstream created(path(name), std::ios::binary); }
    std::filesystem::resize_file(path(name), size);
    return path(name);
  }
  // A file of these bytes.
  std::string file(const std::string& name, std::span<const std::byte> bytes) const {
    std::ofstream created(path(name), std::ios::binary);
    // SAFETY: chars may alias anything.
    created.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path(name);
  }

 private:
  std::string path_;
};

}  // namespace acrn::test
