// VfioUserServer: one PCI function for another VMM, by vfio-user on a UNIX socket: one client at a time, and when it
// has left the next one (docs/vfio-user.md). It has a loop of its own, so that a client only ever waits for its own
// disk.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "dm/server/server.h"
#include "dm/server/vfio_user/connection.h"
#include "dm/socket/acceptor.h"

namespace acrn::vfio_user {

// A kick is a message for which a virtual CPU of the client waits, about 100 us: to poll for several times as long is
// cheaper than one. It is not served before its answer, so the server's thread has no use for the loop.
inline constexpr LoopOptions kQueueLoop{.longest_poll = std::chrono::microseconds(400), .allow_borrow = false};

class VfioUserServer final : public Server {
 public:
  static Result<std::unique_ptr<Server>> create(const std::string& name);
  static Result<void> check(const std::string& path);
  ~VfioUserServer() override;

  const GuestMemory& memory() const override { return memory_; }
  MsiSink& msi() override { return interrupts_.msi(); }
  IrqPin& pin() override { return interrupts_.pin(); }

  Result<void> serve(PciFunction& function, const std::string& path) override;
  void stop() override;

 private:
  explicit VfioUserServer(std::string name);
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
