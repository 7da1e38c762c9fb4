// ControlSession: the control protocol for one client, without a socket: bytes in, replies out
// (docs/control-socket.md). Whatever the bytes are, there is one reply for each line that is not blank. One thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "dm/control/control_event.h"
#include "dm/control/control_target.h"
#include "dm/control/text_session.h"

namespace acrn {

// Carries out one request, without its newline, and returns the reply, without one. `files`: what was sent with it.
// `events`: what the client wants to be told of, which a request may change.
std::string control_reply(std::string_view line, std::span<const UniqueFd> files, ControlTarget& target,
                          ControlEventSet& events);
// The reply to what is no request at all.
std::string control_refusal(std::string_view error);

class ControlSession final : public TextSession {
 public:
  static constexpr size_t kMaxLine = 64 * 1024;  // bytes, without the newline
  static constexpr unsigned kMaxDepth = 16;      // objects and arrays inside each other
  static constexpr size_t kMaxDescriptors = 16;  // of one line, more than any takes

  // The target outlives the session.
  explicit ControlSession(ControlTarget& target) : target_(target) {}

  void add(std::string_view bytes) override { input_ += bytes; }
  // It belongs to the line of the last byte that it came with.
  void add_descriptor(UniqueFd descriptor) override { sent_.push_back({input_.size(), std::move(descriptor)}); }
  // What is left is a line.
  void finish() override { finished_ = true; }
  // Each reply is a line, with its newline.
  std::optional<std::string> next() override;
  // A line was too long, and where the next one would begin is anybody's guess; or it had too many descriptors.
  bool is_over() const override { return broken_; }
  bool wants(ControlEventKind kind) const { return events_.test(static_cast<size_t>(kind)); }
  bool wants_any() const { return events_.any(); }

 private:
  struct Sent {
    size_t end;  // behind the bytes that it came with
    UniqueFd file;
  };

  std::optional<std::string_view> next_line();
  std::vector<UniqueFd> take_files();

  ControlTarget& target_;
  ControlEventSet events_;
  std::string input_;
  size_t begin_ = 0;        // of the first line not taken yet
  size_t scanned_ = 0;      // up to here there is no newline
  std::vector<Sent> sent_;  // with lines that are not taken yet
  bool finished_ = false, broken_ = false;
};

}  // namespace acrn
