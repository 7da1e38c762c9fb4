#include "dm/tools/monitor/monitor_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/socket/unix_address.h"

namespace acrn {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kRequests = "{\"command\":\"status\"}\n{\"command\":\"stats\"}\n";
constexpr int kMaxDepth = 16;

// The result of a reply, or why there is none.
Result<Json> result_of(const std::string& reply) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxDepth; };
  const Json json = Json::parse(reply, shallow, false);
  if (json.is_object() && json.contains("result")) return json["result"];
  if (json.is_object() && json.contains("error") && json["error"].is_string()) {
    return Error{ErrorKind::kIo, json["error"].get<std::string>()};
  }
  return Error{ErrorKind::kIo, "it does not answer as a control socket does"};
}

}  // namespace

Error MonitorClient::failed(std::string_view why) const {
  return {ErrorKind::kIo, concat(who_, ": ", path_, ": ", why)};
}

Result<MonitorClient> MonitorClient::connect(std::string_view who, const std::string& path) {
  const auto refuse = [&](std::string_view why) {
    return Error{ErrorKind::kNoInput,
                 concat(who, ": ", path, ": ", why, "; give a control socket, like /run/acrn/vm1.sock")};
  };
  const auto address = UnixAddress::of(path);
  if (!address) return refuse("not a socket's path of 1 to 107 bytes");
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.fd(), address->get(), address->size()) != 0) {
    return refuse(errno_text(errno));
  }
  return MonitorClient(who, path, std::move(socket));
}

Result<void> MonitorClient::request() {
  const ssize_t sent = ::send(socket_.fd(), kRequests.data(), kRequests.size(), MSG_NOSIGNAL);
  if (sent < 0 || static_cast<size_t>(sent) != kRequests.size()) return failed("the device model has ended");
  asked_ = Clock::now();
  return {};
}

Result<void> MonitorClient::read_input() {
  for (;;) {
    std::array<char, 64 * 1024> bytes;
    const ssize_t size = ::recv(socket_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return {};
    if (size <= 0) return failed("the device model has ended");
    input_.append(bytes.data(), static_cast<size_t>(size));
    for (size_t end; (end = input_.find('\n', scanned_)) != std::string::npos; scanned_ = 0) {
      replies_.push_back(input_.substr(0, end));
      input_.erase(0, end + 1);
    }
    scanned_ = input_.size();
    if (input_.size() > kMaxReply || replies_.size() > 2) return failed("it answers more than it was asked");
  }
}

Result<std::optional<MonitorSample>> MonitorClient::receive() {
  const std::optional<MonitorSample> nothing;
  auto read = read_input();
  if (replies_.size() < 2) {
    // A client that is one too many is told so, and the connection ends.
    if (!read && !replies_.empty() && !result_of(replies_[0])) return failed(result_of(replies_[0]).error().message);
    if (!read) return read.error();
    if (asked_ && Clock::now() - *asked_ > kPatience) return failed("it does not answer");
    return nothing;
  }
  const auto status = result_of(replies_[0]), stats = result_of(replies_[1]);
  replies_.clear();
  if (!status) return failed(status.error().message);
  if (!stats) return failed(stats.error().message);
  asked_.reset();
  return std::optional(parse_sample(status.value(), stats.value(), Clock::now()));
}

Result<MonitorSample> MonitorClient::take() {
  if (auto asked = request(); !asked) return asked.error();
  for (;;) {
    auto sample = receive();
    if (!sample) return sample.error();
    if (sample.value()) return *std::move(sample).value();
    pollfd wait{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, 1000);
  }
}

}  // namespace acrn
