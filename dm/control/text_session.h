// TextSession: what the bytes of one client mean, without a socket: bytes in, replies out. One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "acrn/base/unique_fd.h"

namespace acrn {

class TextSession {
 public:
  virtual ~TextSession() = default;

  virtual void add(std::string_view bytes) = 0;
  // It came with the bytes that were added last.
  virtual void add_descriptor(UniqueFd) {}
  // No more bytes will come.
  virtual void finish() = 0;
  // Carries out the next request. Returns its reply; nothing: no whole request is there.
  virtual std::optional<std::string> next() = 0;
  // The client is to go when it has its replies.
  virtual bool is_over() const = 0;
};

}  // namespace acrn
