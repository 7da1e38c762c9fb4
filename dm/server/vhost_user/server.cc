#include "dm/server/vhost_user/server.h"

#include <utility>
#include <vector>

#include "dm/server/vhost_user/session.h"

namespace acrn::vhost_user {

VhostUserServer::VhostUserServer(std::unique_ptr<ClientSocket> socket)
    : memory_(std::make_shared<const MemoryMap>(std::vector<MemoryRegion>())), socket_(std::move(socket)) {}

Result<std::unique_ptr<VirtioServer>> VhostUserServer::create(const std::string& slot) {
  auto socket = ClientSocket::create("vhost-user", slot);
  if (!socket) return socket.error();
  return std::unique_ptr<VirtioServer>(new VhostUserServer(std::move(socket).value()));
}

Result<void> VhostUserServer::serve(VirtioDevice& device, GuestErrors& guest_errors, const std::string& path,
                                    std::function<void()> finished) {
  front_end_ = std::make_unique<FrontEnd>(device.queue_count());
  device.connect(*front_end_);
  const auto make_session = [this, &device, &guest_errors](pid_t process) {
    return std::make_unique<Session>(device, guest_errors, memory_, *front_end_, refused_, process);
  };
  return socket_->serve(path, make_session, std::move(finished));
}

}  // namespace acrn::vhost_user
