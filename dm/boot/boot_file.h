// BootFile: a file that goes into guest RAM. Opened once and read at each boot; it may become another in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class BootFile {
 public:
  // `option`: that named it, for messages. Errors: kNoInput, in one line.
  static Result<BootFile> open(const char* option, const std::string& path);

  uint64_t size() const { return size_; }  // bytes, when it was opened
  // Exactly so many bytes from `offset`. Errors: as above; of try_read() the reason alone.
  Result<void> read(uint64_t offset, std::span<std::byte> to) const;
  Result<void> try_read(uint64_t offset, std::span<std::byte> to) const;
  Error refuse(std::string_view why) const;

 private:
  BootFile(const char* option, std::string path, UniqueFd fd)
      : option_(option), path_(std::move(path)), fd_(std::move(fd)) {}

  const char* option_;
  std::string path_;
  UniqueFd fd_;
  uint64_t size_ = 0;
};

}  // namespace acrn
