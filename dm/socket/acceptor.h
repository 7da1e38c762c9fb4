// Acceptor: takes clients of a listening socket on a loop, also when the process is out of descriptors.
#pragma once

#include <functional>
#include <memory>

#include "acrn/base/unique_fd.h"
#include "dm/event/epoll_loop.h"
#include "dm/socket/listening_socket.h"

namespace acrn {

class Acceptor {
 public:
  // A new client, non-blocking. `error`: 0, or the errno for which it cannot be kept: say so to it and let it go.
  using Accepted = std::function<void(UniqueFd client, int error)>;

  // On the loop, like everything here. Null: epoll does not take the socket.
  static std::unique_ptr<Acceptor> create(EpollLoop& loop, ListeningSocket socket, Accepted accepted);

  // Descriptors have become free, so clients that had to wait may come.
  void retry();

 private:
  Acceptor(ListeningSocket socket, Accepted accepted) : socket_(std::move(socket)), accepted_(std::move(accepted)) {}
  void accept();
  UniqueFd take();

  ListeningSocket socket_;
  const Accepted accepted_;
  UniqueFd spare_;  // given up for a client that could not be told otherwise
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace acrn
