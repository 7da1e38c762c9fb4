// Images of crash states: clones of a base, and writes to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class Image {
 public:
  // `path` becomes a copy of `from`, sharing its blocks where the file system can do that; holes stay holes. Errors:
  // kIo.
  static Result<Image> clone(const std::string& from, const std::string& path);
  // In bytes. Errors: kNoInput: it is not there, or no regular file.
  static Result<uint64_t> size(const std::string& path);

  // Errors: kIo.
  Result<void> write(uint64_t offset, std::span<const std::byte> data) const;
  // Zeroes, as a hole where the file system can do that. Errors: kIo.
  Result<void> clear(uint64_t offset, uint64_t length) const;

 private:
  Image(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  Result<void> copy_from(int from, off_t size) const;
  Error failed(int error) const;

  std::string path_;
  UniqueFd file_;
};

}  // namespace acrn
