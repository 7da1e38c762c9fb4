// VhostUserServer: one virtio device for a VMM that has PCI of its own, by vhost-user on a UNIX socket
// (docs/vhost-user.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "dm/server/client_socket.h"
#include "dm/server/server.h"
#include "dm/server/vhost_user/front_end.h"

namespace acrn::vhost_user {

// The front end chooses the rings' size: QEMU 128, User Mode Linux, Firecracker and libblkio 256.
inline constexpr unsigned kUsualQueueSize = 128, kLeastQueueSize = 256;

// Kicks are eventfds, so they come to the loop itself.
inline constexpr LoopOptions kQueueLoop{
    .longest_poll = std::chrono::microseconds(50), .allow_borrow = false, .kind = Thread::Kind::kQueue};

class VhostUserServer final : public VirtioServer {
 public:
  static Result<std::unique_ptr<VirtioServer>> create(const std::string& slot);
  ~VhostUserServer() override { stop(); }

  const GuestMemory& memory() const override { return memory_; }
  Result<void> serve(VirtioDevice& device, GuestErrors& guest_errors, const std::string& path,
                     std::function<void()> finished) override;
  void on_client(const std::function<void(bool connected)>& told) override { socket_->on_client(told); }
  Result<void> bind(const std::string& path) override { return socket_->bind(path); }
  void stop() override { socket_->stop(); }

 private:
  explicit VhostUserServer(std::unique_ptr<ClientSocket> socket);

  GuestMemory memory_;
  std::unique_ptr<FrontEnd> front_end_;
  uint64_t refused_ = 0;                        // messages; on the loop of the clients
  const std::unique_ptr<ClientSocket> socket_;  // its sessions use all of that
};

}  // namespace acrn::vhost_user
