// ClientSocket: a socket at a path on a loop of its own, which one client at a time is served at, and when that has
// left the next one. So a client only ever waits for its own disk.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/event/epoll_loop.h"
#include "dm/server/connection.h"
#include "dm/socket/acceptor.h"

namespace acrn {

class ClientSocket {
 public:
  // Of a client whose process is that one, 0 if it is not known. On the loop.
  using MakeSession = std::function<std::unique_ptr<MessageSession>(pid_t process)>;

  // `protocol` and `slot` are for messages, like "vfio-user" and "0:9:0".
  static Result<std::unique_ptr<ClientSocket>> create(std::string_view protocol, const std::string& slot);
  // Whether a socket could be there, without an effect. Errors as of ListeningSocket::check().
  static Result<void> check(const std::string& path);
  ~ClientSocket();

  EpollLoop& loop() { return *loop_; }
  // Makes the socket at `path`; no client gets in before serve(). Errors as of ListeningSocket::create().
  Result<void> bind(const std::string& path);
  // Serves clients at that path; or, on a socket that the process was started with and whose peer is there, that one,
  // and calls `finished` on the loop when it has left, for there cannot be another.
  Result<void> serve(const std::string& path, MakeSession make_session, std::function<void()> finished);
  // `told` hears of each client, when it has come and when it has left. On the loop; before serve().
  void on_client(std::function<void(bool connected)> told) { on_client_ = std::move(told); }
  // The client is dropped and the path removed.
  void stop();

 private:
  explicit ClientSocket(std::string name) : name_(std::move(name)) {}
  void accept(UniqueFd client, int error);
  void client_gone(std::string_view why);
  void tell(bool connected);

  const std::string name_;
  std::unique_ptr<EpollLoop> loop_;
  std::optional<ListeningSocket> socket_;  // between bind() and serve()
  // On the loop.
  MakeSession make_session_;
  std::function<void()> finished_;  // if there cannot be another client
  std::function<void(bool connected)> on_client_;
  std::unique_ptr<Connection> connection_, ended_;
  std::unique_ptr<Acceptor> acceptor_;
  uint64_t misbehaved_ = 0;  // clients that were dropped
};

}  // namespace acrn
