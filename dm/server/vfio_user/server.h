// VfioUserServer: one PCI function for another VMM, by vfio-user on a UNIX socket (docs/vfio-user.md).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "dm/server/client_socket.h"
#include "dm/server/server.h"
#include "dm/server/vfio_user/dma_table.h"
#include "dm/server/vfio_user/irq_table.h"

namespace acrn::vfio_user {

// A kick is a message for which a virtual CPU of the client waits, about 100 us: to poll for several times as long is
// cheaper than one. It is not served before its answer, so the server's thread has no use for the loop.
inline constexpr LoopOptions kQueueLoop{
    .longest_poll = std::chrono::microseconds(400), .allow_borrow = false, .kind = Thread::Kind::kQueue};

class VfioUserServer final : public PciServer {
 public:
  static Result<std::unique_ptr<PciServer>> create(const std::string& slot);
  ~VfioUserServer() override { stop(); }

  const GuestMemory& memory() const override { return memory_; }
  MsiSink& msi() override { return interrupts_.msi(); }
  IrqPin& pin() override { return interrupts_.pin(); }

  Result<void> serve(PciFunction& function, const std::string& path, std::function<void()> finished) override;
  void on_client(const std::function<void(bool connected)>& told) override { socket_->on_client(told); }
  Result<void> bind(const std::string& path) override { return socket_->bind(path); }
  void stop() override { socket_->stop(); }

 private:
  explicit VfioUserServer(std::unique_ptr<ClientSocket> socket);

  GuestMemory memory_;
  IrqTable interrupts_;
  std::unique_ptr<DmaTable> dma_;
  const std::unique_ptr<ClientSocket> socket_;  // its sessions use all of that
};

}  // namespace acrn::vfio_user
