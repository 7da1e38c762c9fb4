// Images of crash states: clones of a base, and writes to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

// `to` becomes a copy of `from`, sharing its blocks where the file system can do that; holes stay holes. Errors: kIo.
Result<void> clone_image(const std::string& from, const std::string& to);
// In bytes. Errors: kNoInput: it is not there, or no regular file.
Result<uint64_t> image_size(const std::string& image);

// Errors: kIo.
Result<void> write_image(const std::string& image, uint64_t offset, std::span<const std::byte> data);
// Zeroes, as a hole where the file system can do that. Errors: kIo.
Result<void> clear_image(const std::string& image, uint64_t offset, uint64_t length);

}  // namespace acrn
