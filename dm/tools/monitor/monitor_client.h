// MonitorClient: vblk as a client of a control socket (docs/control-socket.md), which asks what a machine does. One
// thread.
#pragma once

#include <chrono>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/tools/monitor/sample.h"

namespace acrn {

class MonitorClient {
 public:
  static constexpr size_t kMaxReply = size_t{32} << 20;  // bytes
  static constexpr std::chrono::seconds kPatience{30};   // a command of another client's may hold it up

  // `who` begins each message, like "top". Errors: kNoInput, nobody serves the path.
  static Result<MonitorClient> connect(std::string_view who, const std::string& path);

  // Readable when there may be more of an answer.
  int fd() const { return socket_.fd(); }
  // Asks for a sample; one at a time.
  Result<void> request();
  bool waits() const { return asked_.has_value(); }
  // Takes what has come, without waiting. Nothing: it is not all there. Errors: kIo, the other end has gone, does not
  // answer, or answers something else.
  Result<std::optional<MonitorSample>> receive();
  // Both, waiting for the answer.
  Result<MonitorSample> take();

 private:
  using Clock = std::chrono::steady_clock;

  MonitorClient(std::string_view who, std::string path, UniqueFd socket)
      : who_(who), path_(std::move(path)), socket_(std::move(socket)) {}
  Error failed(std::string_view why) const;
  Result<void> read_input();

  std::string who_, path_;
  UniqueFd socket_;
  std::string input_;
  size_t scanned_ = 0;  // up to here there is no end of a line
  std::deque<std::string> replies_;
  std::optional<Clock::time_point> asked_;
};

}  // namespace acrn
