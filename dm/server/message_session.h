// MessageSession: what a server does for one client, without a socket: a message in, a reply out. Connection brings the
// messages. A session's end is the client's end: nothing of the client's is kept. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"

namespace acrn {

class MessageSession {
 public:
  virtual ~MessageSession() = default;

  // Of the messages: bytes of the header, the most bytes behind it, and the most descriptors with it, which come with
  // the header.
  struct Limits {
    size_t header, payload, descriptors;
  };
  virtual Limits limits() const = 0;
  // What a header says of the bytes behind it. Nothing: no message has such a size.
  virtual std::optional<size_t> payload_size(std::span<const uint8_t> header) const = 0;
  // Carries out one message. Nothing, or why the client cannot be served any more: one line.
  virtual std::string_view handle(std::span<const uint8_t> header, std::span<const uint8_t> payload,
                                  std::vector<UniqueFd> descriptors) = 0;
  // To be sent; empty: nothing. Valid until the next message.
  virtual std::span<const uint8_t> reply() const = 0;
  // What goes with it; -1: nothing.
  virtual int reply_descriptor() const { return -1; }
  // To be called when the reply is on its way.
  virtual void after_reply() {}
};

// A structure of the wire: exactly these bytes.
template <class T>
std::optional<T> exactly(std::span<const uint8_t> bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// The structure that they begin with; `bytes` is what comes behind it.
template <class T>
std::optional<T> beginning(std::span<const uint8_t>& bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  const auto value = exactly<T>(bytes.first(sizeof(T)));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

}  // namespace acrn
