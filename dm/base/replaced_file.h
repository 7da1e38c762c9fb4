// Files that a run writes anew: one that is there is replaced only if an earlier run has written it, as its first bytes
// say.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

struct ReplacedFile {
  std::string_view option;           // for messages: "trace"
  std::string_view what;             // "no trace", of a file that is something else
  std::span<const std::byte> magic;  // how one begins
  size_t least = 0;                  // bytes that one has
  std::string path;

  Error refused(std::string_view why, ErrorKind kind = ErrorKind::kUsage) const;
  // Whether it may be made or replaced. Nothing is. Errors: kUsage, kNoInput.
  Result<void> check() const;
  // Opened for reading and writing, locked for us alone, and not changed yet. Errors: the same.
  Result<UniqueFd> open() const;

 private:
  Error cannot_open() const;
  std::string why_not_replaced(int fd) const;
};

}  // namespace acrn
