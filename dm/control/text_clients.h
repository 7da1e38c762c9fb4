// TextClients: the clients of one listening socket, each with a session. However they behave, the loop does not wait
// for them, and what they can make us keep is limited. On the loop, like everything here.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dm/control/text_session.h"
#include "dm/event/epoll_loop.h"
#include "dm/socket/acceptor.h"

namespace acrn {

struct TextClientRules {
  std::string_view name;  // for the log, like "control socket"
  size_t most_clients;
  size_t most_unread;                 // bytes of replies that a client may leave before it is dropped
  std::chrono::seconds longest_stay;  // of one client, in which it has to have asked and read; 0: for ever
  // What a client is sent that cannot be taken.
  std::string (*refusal)(std::string_view why);
};

class TextClients {
 public:
  using MakeSession = std::function<std::unique_ptr<TextSession>()>;

  // Errors: kInternal, there is no timer, or epoll does not take the socket.
  static Result<std::unique_ptr<TextClients>> create(EpollLoop& loop, ListeningSocket socket,
                                                     const TextClientRules& rules, MakeSession make_session);
  ~TextClients();

  // Sends that to each client for whose session `wanted` is true.
  void send(std::string_view text, const std::function<bool(const TextSession&)>& wanted);

 private:
  class Client;

  TextClients(EpollLoop& loop, const TextClientRules& rules, MakeSession make_session);
  void accept(UniqueFd socket, int error);
  void drop(Client& gone);
  void drop_late();

  EpollLoop& loop_;
  const TextClientRules rules_;
  const MakeSession make_session_;
  std::vector<std::shared_ptr<Client>> clients_;  // in the order in which they came
  std::unique_ptr<Timer> timer_;                  // for the first of them to be late
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace acrn
