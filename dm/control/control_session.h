// ControlSession: the control protocol for one client, without a socket: bytes in, replies out
// (docs/control-socket.md). Whatever the bytes are, there is one reply for each line that is not blank. One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dm/control/control_target.h"

namespace acrn {

// Carries out one request, without its newline, and returns the reply, without one.
std::string control_reply(std::string_view line, ControlTarget& target);
// The reply to what is no request at all.
std::string control_refusal(std::string_view error);

class ControlSession {
 public:
  static constexpr size_t kMaxLine = 64 * 1024;  // bytes, without the newline
  static constexpr unsigned kMaxDepth = 16;      // objects and arrays inside each other

  // The target outlives the session.
  explicit ControlSession(ControlTarget& target) : target_(target) {}

  void add(std::string_view bytes) { input_ += bytes; }
  // No more bytes will come: what is left is a line.
  void finish() { finished_ = true; }
  // Carries out the next request. Returns its reply with a newline; nothing: no whole line is there.
  std::optional<std::string> next();
  // A line was too long. Where the next one would begin is anybody's guess, so the client is to go.
  bool broken() const { return broken_; }

 private:
  std::optional<std::string_view> next_line();

  ControlTarget& target_;
  std::string input_;
  size_t begin_ = 0;    // of the first line not taken yet
  size_t scanned_ = 0;  // up to here there is no newline
  bool finished_ = false, broken_ = false;
};

}  // namespace acrn
