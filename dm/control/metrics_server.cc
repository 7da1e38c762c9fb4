#include "dm/control/metrics_server.h"

#include "acrn/base/concat.h"
#include "dm/control/http_session.h"
#include "dm/control/open_metrics.h"
#include "dm/control/text_clients.h"
#include "dm/socket/listening_socket.h"

namespace acrn {
namespace {

constexpr std::string_view kOption = "--metrics",
                           kAdvice = "give the path of a new socket or a free port, like --metrics 127.0.0.1:9110";

std::string refusal(std::string_view why) { return http_error("503 Service Unavailable", why); }

constexpr TextClientRules kRules{.name = "metrics",
                                 .most_clients = MetricsServer::kMaxClients,
                                 .most_unread = 0,  // each gets one response
                                 .longest_stay = MetricsServer::kLongestStay,
                                 .refusal = refusal};

class Server final : public MetricsServer {
 public:
  Server(EpollLoop& loop, ControlTarget& target) : loop_(loop), target_(target) {}
  ~Server() override {
    loop_.run([this] { clients_.reset(); });
  }

  Result<void> start(ListeningSocket socket) {
    Result<void> result;
    loop_.run([&] {
      auto clients = TextClients::create(loop_, std::move(socket), kRules, [this] {
        return std::make_unique<HttpSession>(
            [this](MetricsFormat format) { return render_metrics(target_.status(), target_.stats(), format); });
      });
      if (clients) {
        clients_ = std::move(clients).value();
      } else {
        result = clients.error();
      }
    });
    return result;
  }

 private:
  EpollLoop& loop_;
  ControlTarget& target_;
  std::unique_ptr<TextClients> clients_;  // on the loop
};

}  // namespace

Result<void> MetricsServer::check(const ListeningPlace& place) {
  return ListeningSocket::check_at(kOption, place, kAdvice);
}

Result<std::unique_ptr<MetricsServer>> MetricsServer::create(EpollLoop& loop, const ListeningPlace& place,
                                                             ControlTarget& target) {
  auto socket = ListeningSocket::create_at(kOption, place, kAdvice);
  if (!socket) return socket.error();
  auto server = std::make_unique<Server>(loop, target);
  if (auto started = server->start(std::move(socket).value()); !started) {
    return Error{started.error().kind, concat(kOption, " ", to_text(place), ": ", started.error().message)};
  }
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace acrn
