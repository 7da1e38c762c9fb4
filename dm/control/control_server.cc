#include "dm/control/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/control/control_session.h"
#include "dm/socket/acceptor.h"

namespace acrn {
namespace {

constexpr std::string_view kOption = "--cmd_monitor",
                           kAdvice = "give the path of a new socket, like /run/acrn/vm1.sock";

// One client. On the loop.
class Client {
 public:
  Client(UniqueFd socket, ControlTarget& target) : socket_(std::move(socket)), session_(target) {}

  // `gone` runs at most once, from within the loop's call, which still needs the client.
  bool start(EpollLoop& loop, std::function<void()> gone) {
    gone_ = std::move(gone);
    watch_ = loop.watch(socket_.fd(), EPOLLIN, [this](uint32_t events) { handle(events); });
    return watch_ != nullptr;
  }

 private:
  void handle(uint32_t events) {
    if (over_) return;
    const bool alive = (events & EPOLLERR) == 0 && receive(events) && answer() && send();
    if (!alive || (closing_ && output_.empty())) {
      over_ = true;
      watch_->set_events(0);
      return gone_();
    }
    watch_->set_events((closing_ ? 0u : uint32_t{EPOLLIN}) | (output_.empty() ? 0u : uint32_t{EPOLLOUT}));
  }

  // False: there is nobody any more.
  bool receive(uint32_t events) {
    if (closing_) return (events & EPOLLHUP) == 0;
    if ((events & (EPOLLIN | EPOLLHUP)) == 0) return true;
    std::array<char, 16 * 1024> bytes;
    const ssize_t size = ::recv(socket_.fd(), bytes.data(), bytes.size(), 0);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    if (size == 0) {
      session_.finish();
      closing_ = true;
    } else {
      session_.add({bytes.data(), static_cast<size_t>(size)});
    }
    return true;
  }

  bool answer() {
    while (auto reply = session_.next()) {
      output_ += *reply;
      if (!send()) return false;
      if (output_.size() > ControlServer::kMaxUnread) {
        log(LogLevel::kWarning, "control socket: a client that does not read its replies was dropped");
        return false;
      }
    }
    closing_ = closing_ || session_.broken();
    return true;
  }

  bool send() {
    size_t sent = 0;
    while (sent < output_.size()) {
      const ssize_t size = ::send(socket_.fd(), output_.data() + sent, output_.size() - sent, MSG_NOSIGNAL);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno != EAGAIN) return false;
      if (size < 0) break;
      sent += static_cast<size_t>(size);
    }
    output_.erase(0, sent);
    return true;
  }

  UniqueFd socket_;
  ControlSession session_;
  std::string output_;
  bool closing_ = false;  // nothing more is read; over when everything is sent
  bool over_ = false;
  std::function<void()> gone_;
  std::unique_ptr<FdWatch> watch_;  // before the socket that it watches
};

class Server final : public ControlServer {
 public:
  Server(EpollLoop& loop, ControlTarget& target) : loop_(loop), target_(target) {}
  ~Server() override {
    loop_.run([this] {
      acceptor_.reset();
      clients_.clear();
    });
  }

  bool start(ListeningSocket socket) {
    loop_.run([&] {
      acceptor_ = Acceptor::create(loop_, std::move(socket),
                                   [this](UniqueFd client, int error) { accept(std::move(client), error); });
    });
    return acceptor_ != nullptr;
  }

 private:
  void accept(UniqueFd socket, int error) {
    if (error != 0) {
      return refuse(socket, concat("the device model cannot take a client: ", errno_text(error)));
    }
    if (clients_.size() == kMaxClients) {
      return refuse(socket, concat("there are ", kMaxClients, " clients already; try again later"));
    }
    auto client = std::make_shared<Client>(std::move(socket), target_);
    if (client->start(loop_, [this, raw = client.get()] { drop(*raw); })) clients_.insert(std::move(client));
  }

  static void refuse(const UniqueFd& socket, std::string_view why) {
    const std::string text = control_refusal(why) + "\n";
    [[maybe_unused]] const ssize_t sent = ::send(socket.fd(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  // It is in the middle of its handler, so it ends with a task of its own.
  void drop(Client& gone) {
    for (auto at = clients_.begin(); at != clients_.end(); ++at) {
      if (at->get() != &gone) continue;
      loop_.post([client = *at] {});
      clients_.erase(at);
      break;
    }
    acceptor_->retry();
  }

  EpollLoop& loop_;
  ControlTarget& target_;
  // On the loop.
  std::set<std::shared_ptr<Client>> clients_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace

Result<void> ControlServer::check(const std::string& path) { return ListeningSocket::check(kOption, path, kAdvice); }

Result<std::unique_ptr<ControlServer>> ControlServer::create(EpollLoop& loop, const std::string& path,
                                                             ControlTarget& target) {
  auto socket = ListeningSocket::create(kOption, path, kAdvice);
  if (!socket) return socket.error();
  auto server = std::make_unique<Server>(loop, target);
  if (!server->start(std::move(socket).value()))
    return Error{ErrorKind::kInternal, concat("--cmd_monitor ", path, ": epoll_ctl failed")};
  return std::unique_ptr<ControlServer>(std::move(server));
}

}  // namespace acrn
