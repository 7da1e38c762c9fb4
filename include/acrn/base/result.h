// Result<T>: a value, or an Error that says in one line what went wrong. Fallible construction is a
// `static Result<...> create(...)`; constructors cannot fail.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "acrn/base/check.h"

namespace acrn {

// What an error means to the caller of the program. The values are the exit codes of sysexits.h.
enum class ErrorKind : int {
  kUsage = 64,        // EX_USAGE: a bad option or value
  kNoInput = 66,      // EX_NOINPUT: an input that cannot be opened or served
  kUnavailable = 69,  // EX_UNAVAILABLE: no usable hypervisor
  kInternal = 70,     // EX_SOFTWARE: the host failed us (memory, threads, descriptors)
  kIo = 74,           // EX_IOERR: a disk failed a request of vblk, or the flush at the end of acrn-dm
};

struct Error {
  ErrorKind kind;
  std::string message;  // one line: the option, the value, what would be right
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    ACRN_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    ACRN_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && { return std::move(value()); }
  const Error& error() const {
    ACRN_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    ACRN_CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace acrn
