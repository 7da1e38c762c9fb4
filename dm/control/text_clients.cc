#include "dm/control/text_clients.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/socket/sent_descriptors.h"

namespace acrn {

using Clock = std::chrono::steady_clock;

namespace {

// Of one call. No request takes more than one, so the second tells of too many; the kernel closes the others.
constexpr size_t kMostDescriptors = 2;

}  // namespace

class TextClients::Client {
 public:
  Client(UniqueFd socket, std::unique_ptr<TextSession> session, const TextClientRules& rules)
      : socket_(std::move(socket)), session_(std::move(session)), rules_(rules) {}

  // `gone` runs at most once, from within a call of the client, which still needs it.
  bool start(EpollLoop& loop, std::function<void()> gone) {
    gone_ = std::move(gone);
    watch_ = loop.watch(socket_.fd(), EPOLLIN, [this](uint32_t events) { handle(events); });
    return watch_ != nullptr;
  }

  const TextSession& session() const { return *session_; }
  Clock::time_point deadline() const { return accepted_at_ + rules_.longest_stay; }

  void send(std::string_view text) {
    if (over_ || closing_) return;
    const bool room = has_room();
    if (room) output_ += text;
    settle(room && flush());
  }

  void end() {
    if (over_) return;
    over_ = true;
    watch_->set_events(0);
    gone_();
  }

 private:
  void handle(uint32_t events) {
    if (over_) return;
    settle((events & EPOLLERR) == 0 && receive(events) && answer() && flush());
  }

  // What to wait for next. `alive`: there is somebody, and it behaves.
  void settle(bool alive) {
    if (!alive || (closing_ && output_.empty() && !linger())) return end();
    const bool reads = !closing_ || lingers_;
    watch_->set_events((reads ? uint32_t{EPOLLIN} : 0u) | (output_.empty() ? 0u : uint32_t{EPOLLOUT}));
  }

  // A TCP connection that is closed with bytes that were not read takes our last reply with it, so those of a client
  // that has not closed its end are read, as long as it may stay. False: there is nothing to wait for.
  bool linger() {
    if (finished_ || rules_.longest_stay.count() == 0) return false;
    if (!std::exchange(lingers_, true)) ::shutdown(socket_.fd(), SHUT_WR);
    return true;
  }

  // False: there is nobody any more.
  bool receive(uint32_t events) {
    if (closing_ && !lingers_) return (events & EPOLLHUP) == 0;
    if ((events & (EPOLLIN | EPOLLHUP)) == 0) return true;
    std::array<char, 16 * 1024> bytes;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control;
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket_.fd(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    std::vector<UniqueFd> descriptors;
    take_descriptors(message, descriptors);
    if (size == 0) finished_ = true;
    if (lingers_) return !finished_;
    if (finished_) {
      session_->finish();
      closing_ = true;
    } else {
      session_->add({bytes.data(), static_cast<size_t>(size)});
      for (UniqueFd& descriptor : descriptors) session_->add_descriptor(std::move(descriptor));
    }
    return true;
  }

  bool answer() {
    if (lingers_) return true;
    while (const auto reply = session_->next()) {
      if (!has_room()) return false;
      output_ += *reply;
      if (!flush()) return false;
    }
    closing_ = closing_ || session_->is_over();
    return true;
  }

  bool has_room() const {
    if (output_.size() <= rules_.most_unread) return true;
    log(LogLevel::kWarning, concat(rules_.name, ": a client that does not read its replies was dropped"));
    return false;
  }

  bool flush() {
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
  const std::unique_ptr<TextSession> session_;
  const TextClientRules& rules_;
  const Clock::time_point accepted_at_ = Clock::now();
  std::string output_;
  bool finished_ = false;  // the client has closed its end
  bool closing_ = false;   // nothing more is answered; over when everything is sent
  bool lingers_ = false;   // and our end is closed
  bool over_ = false;
  std::function<void()> gone_;
  std::unique_ptr<FdWatch> watch_;  // before the socket that it watches
};

TextClients::TextClients(EpollLoop& loop, const TextClientRules& rules, MakeSession make_session)
    : loop_(loop), rules_(rules), make_session_(std::move(make_session)) {}

TextClients::~TextClients() = default;

Result<std::unique_ptr<TextClients>> TextClients::create(EpollLoop& loop, ListeningSocket socket,
                                                         const TextClientRules& rules, MakeSession make_session) {
  std::unique_ptr<TextClients> clients(new TextClients(loop, rules, std::move(make_session)));
  if (rules.longest_stay.count() != 0) {
    auto timer = loop.make_timer([raw = clients.get()] { raw->drop_late(); });
    if (!timer) return timer.error();
    clients->timer_ = std::move(timer).value();
  }
  clients->acceptor_ = Acceptor::create(loop, std::move(socket), [raw = clients.get()](UniqueFd client, int error) {
    raw->accept(std::move(client), error);
  });
  if (clients->acceptor_ == nullptr) return Error{ErrorKind::kInternal, "epoll_ctl failed"};
  return clients;
}

void TextClients::accept(UniqueFd socket, int error) {
  const auto refuse = [&](std::string_view why) {
    const std::string text = rules_.refusal(why);
    [[maybe_unused]] const ssize_t sent = ::send(socket.fd(), text.data(), text.size(), MSG_NOSIGNAL);
  };
  if (error != 0) return refuse(concat("the device model cannot take a client: ", errno_text(error)));
  if (clients_.size() == rules_.most_clients) {
    return refuse(concat("there are ", rules_.most_clients, " clients already; try again later"));
  }
  auto client = std::make_shared<Client>(std::move(socket), make_session_(), rules_);
  if (!client->start(loop_, [this, raw = client.get()] { drop(*raw); })) return;
  clients_.push_back(std::move(client));
  if (timer_ != nullptr && clients_.size() == 1) {
    timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(rules_.longest_stay).count()));
  }
}

void TextClients::send(std::string_view text, const std::function<bool(const TextSession&)>& wanted) {
  const auto clients = clients_;  // some may go meanwhile
  for (const auto& client : clients) {
    if (wanted(client->session())) client->send(text);
  }
}

// It is in the middle of a call, so it ends with a task of its own.
void TextClients::drop(Client& gone) {
  const auto at = std::find_if(clients_.begin(), clients_.end(), [&](const auto& each) { return each.get() == &gone; });
  if (at == clients_.end()) return;
  loop_.post([client = *at] {});
  clients_.erase(at);
  acceptor_->retry();
}

void TextClients::drop_late() {
  const auto now = Clock::now();
  while (!clients_.empty() && clients_.front()->deadline() <= now) {
    log(LogLevel::kDebug, concat(rules_.name, ": a client that took too long was dropped"));
    clients_.front()->end();
  }
  if (clients_.empty()) return;
  timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(clients_.front()->deadline() - now).count()));
}

}  // namespace acrn
