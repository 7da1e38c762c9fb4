#include "dm/server/vfio_user/server.h"

#include <sys/epoll.h>

#include <bit>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"

namespace acrn::vfio_user {
namespace {

constexpr std::string_view kOption = "--serve",
                           kAdvice = "give a folder for new sockets, like --serve vfio-user=/run/acrn";

std::shared_ptr<const MemoryMap> no_memory() { return std::make_shared<const MemoryMap>(std::vector<MemoryRegion>()); }

}  // namespace

VfioUserServer::VfioUserServer(std::string name)
    : name_(std::move(name)),
      memory_(no_memory()),
      interrupts_([this](int fd, std::function<void()> handler) { return watch_edges(fd, std::move(handler)); }) {}

Result<std::unique_ptr<Server>> VfioUserServer::create(const std::string& name) {
  std::unique_ptr<VfioUserServer> server(new VfioUserServer(name));
  auto loop = EpollLoop::create(concat("vfio", name), {});
  if (!loop) return loop.error();
  server->loop_ = std::move(loop).value();
  return std::unique_ptr<Server>(std::move(server));
}

Result<void> VfioUserServer::check(const std::string& path) { return ListeningSocket::check(kOption, path, kAdvice); }

VfioUserServer::~VfioUserServer() {
  if (loop_ == nullptr) return;  // create() failed
  stop();
  loop_.reset();  // with what a client that has left had posted
}

std::unique_ptr<FdWatch> VfioUserServer::watch_edges(int fd, std::function<void()> handler) {
  return loop_->watch(fd, EPOLLIN | EPOLLET, [handler = std::move(handler)](uint32_t) { handler(); });
}

Result<void> VfioUserServer::serve(PciFunction& function, const std::string& path) {
  auto socket = ListeningSocket::create(kOption, path, kAdvice);
  if (!socket) return socket.error();
  function_ = &function;
  loop_->run([&] {
    interrupts_.attach(function);
    dma_ = std::make_unique<DmaTable>(memory_, function);
    acceptor_ = Acceptor::create(*loop_, std::move(socket).value(),
                                 [this](UniqueFd client, int error) { accept(std::move(client), error); });
  });
  if (acceptor_ != nullptr) return {};
  return Error{ErrorKind::kInternal, concat("--serve ", path, ": epoll_ctl failed")};
}

void VfioUserServer::stop() {
  loop_->run([this] {
    acceptor_.reset();
    ended_.reset();
    connection_.reset();
  });
}

void VfioUserServer::accept(UniqueFd client, int error) {
  // The next client may be quicker than the news of the last one's end. What that one leaves has to go first.
  ended_.reset();
  if (connection_ != nullptr && connection_->hung_up()) connection_.reset();
  if (error != 0 || connection_ != nullptr) {
    log(LogLevel::kDebug, concat("vfio-user ", name_, ": a client was turned away: ",
                                 error != 0 ? errno_text(error) : "there is one already"));
    return;
  }
  connection_ = Connection::create(*loop_, std::move(client), *function_, *dma_, interrupts_,
                                   [this](std::string_view why) { client_gone(why); });
}

void VfioUserServer::client_gone(std::string_view why) {
  // Each one that misbehaves, but not each time of one that goes on for ever.
  if (!why.empty() && std::has_single_bit(++misbehaved_)) {
    log(LogLevel::kWarning, concat("vfio-user ", name_, ": the client was dropped: ", why,
                                   misbehaved_ > 1 ? concat(" (", misbehaved_, " clients so far)") : ""));
  }
  // It is in the middle of its handler.
  ended_ = std::move(connection_);
  loop_->post([this] {
    ended_.reset();
    if (acceptor_ != nullptr) acceptor_->retry();
  });
}

}  // namespace acrn::vfio_user
