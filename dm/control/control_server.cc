#include "dm/control/control_server.h"

#include "acrn/base/concat.h"
#include "dm/control/control_session.h"
#include "dm/control/text_clients.h"
#include "dm/socket/listening_socket.h"

namespace acrn {
namespace {

constexpr std::string_view kOption = "--cmd_monitor",
                           kAdvice = "give the path of a new socket, like /run/acrn/vm1.sock";

std::string refusal_line(std::string_view why) { return control_refusal(why) + "\n"; }

constexpr TextClientRules kRules{.name = "control socket",
                                 .most_clients = ControlServer::kMaxClients,
                                 .most_unread = ControlServer::kMaxUnread,
                                 .longest_stay = std::chrono::seconds(0),
                                 .refusal = refusal_line};

class Server final : public ControlServer {
 public:
  Server(EpollLoop& loop, ControlTarget& target, EventBuffer* events) : loop_(loop), target_(target), events_(events) {}
  ~Server() override {
    if (events_ != nullptr) events_->set_reader(nullptr);
    loop_.run([this] {
      clients_.reset();
      news_.reset();
    });
  }

  Result<void> start(ListeningSocket socket) {
    Result<void> result;
    loop_.run([&] {
      auto clients = TextClients::create(loop_, std::move(socket), kRules,
                                         [this] { return std::make_unique<ControlSession>(target_); });
      if (!clients) {
        result = clients.error();
        return;
      }
      clients_ = std::move(clients).value();
      if (events_ != nullptr) result = follow_events();
    });
    return result;
  }

 private:
  Result<void> follow_events() {
    auto news = loop_.make_notifier([this] { tell_events(); });
    if (!news) return news.error();
    news_ = std::move(news).value();
    events_->set_reader(news_.get());
    return {};
  }

  void tell_events() {
    const EventBuffer::Taken taken = events_->take();
    for (const ControlEvent& event : taken.events) {
      clients_->send(event_line(event),
                     [&](const TextSession& session) { return session_of(session).wants(event.kind); });
    }
    if (taken.lost == 0) return;
    clients_->send(lost_line(taken.lost), [](const TextSession& session) { return session_of(session).wants_any(); });
  }

  static const ControlSession& session_of(const TextSession& session) {
    return static_cast<const ControlSession&>(session);  // there are no others
  }

  EpollLoop& loop_;
  ControlTarget& target_;
  EventBuffer* const events_;
  // On the loop.
  std::unique_ptr<TextClients> clients_;
  std::unique_ptr<Notifier> news_;
};

}  // namespace

Result<void> ControlServer::check(const std::string& path) { return ListeningSocket::check(kOption, path, kAdvice); }

Result<std::unique_ptr<ControlServer>> ControlServer::create(EpollLoop& loop, const std::string& path,
                                                             ControlTarget& target, EventBuffer* events) {
  auto socket = ListeningSocket::create(kOption, path, kAdvice);
  if (!socket) return socket.error();
  auto server = std::make_unique<Server>(loop, target, events);
  if (auto started = server->start(std::move(socket).value()); !started) {
    return Error{started.error().kind, concat(kOption, " ", path, ": ", started.error().message)};
  }
  return std::unique_ptr<ControlServer>(std::move(server));
}

}  // namespace acrn
