// ControlServer: the socket of --cmd_monitor and its clients. Lives on a loop that serves no device, since commands
// block it.
#pragma once

#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "dm/control/control_event.h"
#include "dm/control/control_target.h"
#include "dm/event/epoll_loop.h"

namespace acrn {

class ControlServer {
 public:
  static constexpr size_t kMaxClients = 16;
  static constexpr size_t kMaxUnread = 1 << 20;  // bytes of replies that a client may leave before it is dropped

  // Listens at `path`; errors as of ListeningSocket::create().
  // Loop, target and events outlive the server. `events`: what clients may subscribe to; null: nothing happens.
  static Result<std::unique_ptr<ControlServer>> create(EpollLoop& loop, const std::string& path, ControlTarget& target,
                                                       EventBuffer* events = nullptr);
  // What of that can be refused without an effect.
  static Result<void> check(const std::string& path);
  // Drops the clients. The path is removed if it still is this server's.
  virtual ~ControlServer() = default;
};

}  // namespace acrn
