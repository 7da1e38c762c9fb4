// MetricsServer: the place of --metrics, where Prometheus and its like read all counts by HTTP (docs/monitoring.md).
// Lives on the loop of the control socket.
#pragma once

#include <chrono>
#include <memory>

#include "acrn/base/result.h"
#include "dm/control/control_target.h"
#include "dm/event/epoll_loop.h"
#include "dm/socket/listening_place.h"

namespace acrn {

class MetricsServer {
 public:
  static constexpr size_t kMaxClients = 16;
  static constexpr std::chrono::seconds kLongestStay{10};  // for a client to ask, and to read what it gets

  // Listens there; errors as of ListeningSocket::create_at(). Loop and target outlive the server.
  static Result<std::unique_ptr<MetricsServer>> create(EpollLoop& loop, const ListeningPlace& place,
                                                       ControlTarget& target);
  // What of that can be refused without an effect.
  static Result<void> check(const ListeningPlace& place);
  // Drops the clients. A path is removed if it still is this server's.
  virtual ~MetricsServer() = default;
};

}  // namespace acrn
