#include "dm/server/vfio_user/server.h"

#include <utility>

#include "dm/server/vfio_user/session.h"

namespace acrn::vfio_user {
namespace {

std::shared_ptr<const MemoryMap> no_memory() { return std::make_shared<const MemoryMap>(std::vector<MemoryRegion>()); }

}  // namespace

VfioUserServer::VfioUserServer(std::unique_ptr<ClientSocket> socket)
    : memory_(no_memory()), interrupts_(socket->loop()), socket_(std::move(socket)) {}

Result<std::unique_ptr<PciServer>> VfioUserServer::create(const std::string& slot) {
  auto socket = ClientSocket::create("vfio-user", slot);
  if (!socket) return socket.error();
  return std::unique_ptr<PciServer>(new VfioUserServer(std::move(socket).value()));
}

Result<void> VfioUserServer::serve(PciFunction& function, const std::string& path, std::function<void()> finished) {
  socket_->loop().run([&] {
    interrupts_.attach(function);
    dma_ = std::make_unique<DmaTable>(memory_, function);
  });
  const auto make_session = [this, &function](pid_t process) {
    return std::make_unique<Session>(function, *dma_, interrupts_, process);
  };
  return socket_->serve(path, make_session, std::move(finished));
}

}  // namespace acrn::vfio_user
