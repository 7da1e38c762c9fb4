#include "dm/server/client_socket.h"

#include <bit>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/socket/inherited_sockets.h"

namespace acrn {
namespace {

constexpr std::string_view kOption = "--serve", kAdvice = "give a folder that is there, like --serve vhost-user=.";

}  // namespace

Result<std::unique_ptr<ClientSocket>> ClientSocket::create(std::string_view protocol, const std::string& slot) {
  std::unique_ptr<ClientSocket> socket(new ClientSocket(concat(protocol, " ", slot)));
  auto loop = EpollLoop::create(concat("serve", slot), {});
  if (!loop) return loop.error();
  socket->loop_ = std::move(loop).value();
  return socket;
}

Result<void> ClientSocket::check(const std::string& path) { return ListeningSocket::check(kOption, path, kAdvice); }

ClientSocket::~ClientSocket() {
  if (loop_ == nullptr) return;  // create() failed
  stop();
  loop_.reset();  // with what a client that has left had posted
}

Result<void> ClientSocket::bind(const std::string& path) {
  if (InheritedSockets::has_connected(path)) return {};
  auto socket = ListeningSocket::create(kOption, path, kAdvice);
  if (!socket) return socket.error();
  socket_.emplace(std::move(socket).value());
  return {};
}

Result<void> ClientSocket::serve(const std::string& path, MakeSession make_session, std::function<void()> finished) {
  bool served = false;
  if (UniqueFd connected = InheritedSockets::take_connected(path)) {
    loop_->run([&] {
      make_session_ = std::move(make_session);
      finished_ = std::move(finished);
      accept(std::move(connected), 0);
      served = connection_ != nullptr;
    });
  } else {
    if (!socket_) {
      if (auto bound = bind(path); !bound) return bound;
    }
    loop_->run([&] {
      make_session_ = std::move(make_session);
      acceptor_ = Acceptor::create(*loop_, *std::exchange(socket_, std::nullopt),
                                   [this](UniqueFd client, int error) { accept(std::move(client), error); });
      served = acceptor_ != nullptr;
    });
  }
  if (served) return {};
  return Error{ErrorKind::kInternal, concat("--serve ", path, ": epoll_ctl failed")};
}

void ClientSocket::stop() {
  loop_->run([this] {
    finished_ = nullptr;
    acceptor_.reset();
    ended_.reset();
    if (connection_ == nullptr) return;
    connection_.reset();
    tell(false);
  });
}

void ClientSocket::tell(bool connected) {
  if (on_client_) on_client_(connected);
}

void ClientSocket::accept(UniqueFd client, int error) {
  // The next client may be quicker than the news of the last one's end. What that one leaves has to go first.
  ended_.reset();
  if (connection_ != nullptr && connection_->hung_up()) {
    connection_.reset();
    tell(false);
  }
  if (error != 0 || connection_ != nullptr) {
    log(LogLevel::kDebug,
        concat(name_, ": a client was turned away: ", error != 0 ? errno_text(error) : "there is one already"));
    return;
  }
  auto session = make_session_(peer_process(client.fd()));
  connection_ = Connection::create(*loop_, std::move(client), std::move(session),
                                   [this](std::string_view why) { client_gone(why); });
  if (connection_ != nullptr) tell(true);
}

void ClientSocket::client_gone(std::string_view why) {
  // Each one that misbehaves, but not each time of one that goes on for ever.
  if (!why.empty() && std::has_single_bit(++misbehaved_)) {
    log(LogLevel::kWarning, concat(name_, ": the client was dropped: ", why,
                                   misbehaved_ > 1 ? concat(" (", misbehaved_, " clients so far)") : ""));
  }
  // It is in the middle of its handler.
  ended_ = std::move(connection_);
  tell(false);
  loop_->post([this] {
    ended_.reset();
    if (acceptor_ != nullptr) acceptor_->retry();
    if (finished_) finished_();
  });
}

}  // namespace acrn
