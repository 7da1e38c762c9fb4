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

// Errors: kIo.
Result<void> write_image(const std::string& image, uint64_t offset, std::span<const std::byte> data);

}  // namespace acrn
