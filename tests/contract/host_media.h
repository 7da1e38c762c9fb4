// Loop devices and small file systems for tests; each skips the test with what is missing.
#pragma once

#include <cstdint>
#include <semaphore>
#include <string>
#include <thread>

#include "acrn/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {

// A tmpfs of `bytes`, mounted as long as this lives.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(uint64_t bytes);
  ~SmallFileSystem();
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  std::string file(const std::string& name, uint64_t size) const;

 private:
  TempDir dir_;
  std::string root_;
};

// A loop device over a file, detached when this goes.
class LoopDevice {
 public:
  LoopDevice(const std::string& file, uint32_t block_size, bool read_only = false);
  const std::string& path() const { return path_; }

 private:
  UniqueFd device_;  // the kernel detaches it at the last close
  std::string path_;
};

// An ext4 that can be frozen: writes to it, and syncs, wait until it is thawed, which it is after ten seconds at the
// latest.
class FreezableFileSystem {
 public:
  explicit FreezableFileSystem(uint64_t bytes);
  ~FreezableFileSystem();
  FreezableFileSystem(const FreezableFileSystem&) = delete;
  FreezableFileSystem& operator=(const FreezableFileSystem&) = delete;

  // A file of data, none of which is in the page cache.
  std::string file(const std::string& name, uint64_t size) const;
  void freeze();
  // False: it was not frozen any more.
  bool thaw();

 private:
  TempDir dir_;
  std::string root_;
  UniqueFd folder_;
  std::binary_semaphore thawed_{0};
  std::thread watch_;  // while it is frozen
};

// A file in memory: the file system of /dev/shm, or a skip.
class SharedMemoryFile {
 public:
  explicit SharedMemoryFile(uint64_t size);
  ~SharedMemoryFile();
  SharedMemoryFile(const SharedMemoryFile&) = delete;
  SharedMemoryFile& operator=(const SharedMemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

uint64_t allocated_bytes(const std::string& path);

}  // namespace acrn::test
