// Server: one PCI function for another VMM, by vfio-user on a UNIX socket: one client at a time, and when it has left
// the next one (docs/vfio-user.md). It has a loop of its own, so that a client only ever waits for its own disk.
//
// Threads: created and destroyed by the composing thread, like the function.
#pragma once

#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "dm/event/epoll_loop.h"
#include "dm/server/vfio_user/connection.h"
#include "dm/socket/acceptor.h"

namespace acrn::vfio_user {

class Server {
 public:
  // `name` is for threads and messages: the function's slot, like "0:9:0".
  static Result<std::unique_ptr<Server>> create(const std::string& name);
  // Whether a function could be served at `path`, without an effect.
  static Result<void> check(const std::string& path);
  ~Server();

  // What the function is to be made with.
  const GuestMemory& memory() const { return memory_; }
  MsiSink& msi() { return interrupts_.msi(); }
  IrqPin& pin() { return interrupts_.pin(); }

  // Serves it at `path` from now on. Errors as of ListeningSocket::create().
  Result<void> serve(PciFunction& function, const std::string& path);
  // The client is dropped and the path removed: returns when the function is at rest. It may go then.
  void stop();

 private:
  explicit Server(std::string name);
  std::unique_ptr<FdWatch> watch_edges(int fd, std::function<void()> handler);
  void accept(UniqueFd client, int error);
  void client_gone(std::string_view why);

  const std::string name_;
  GuestMemory memory_;
  IrqTable interrupts_;
  std::unique_ptr<EpollLoop> loop_;
  PciFunction* function_ = nullptr;
  // On the loop.
  std::unique_ptr<DmaTable> dma_;
  std::unique_ptr<Connection> connection_, ended_;
  std::unique_ptr<Acceptor> acceptor_;
  uint64_t misbehaved_ = 0;  // clients that were dropped
};

}  // namespace acrn::vfio_user
