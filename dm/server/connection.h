// Connection: one client's socket on a loop, and its session. Reads a message, answers it, and takes the next one when
// the answer is gone: a client that does not read has nobody's memory but its own to fill. On the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "dm/event/epoll_loop.h"
#include "dm/server/message_session.h"

namespace acrn {

class Connection {
 public:
  // `gone` runs at most once, from within the loop's call, which still needs the connection, with the reason if the
  // client has not just left. Null: epoll does not take the socket.
  using Gone = std::function<void(std::string_view why)>;
  static std::unique_ptr<Connection> create(EpollLoop& loop, UniqueFd socket, std::unique_ptr<MessageSession> session,
                                            Gone gone);

  // The client has closed its end, though the loop may not have heard of it yet.
  bool hung_up() const;

 private:
  Connection(UniqueFd socket, std::unique_ptr<MessageSession> session, Gone gone);

  void handle(uint32_t events);
  bool serve();
  bool read_header();
  bool receive(std::span<uint8_t> to, size_t& received, bool with_descriptors);
  void answer();
  bool send();
  void end(std::string_view why);

  UniqueFd socket_;
  const std::unique_ptr<MessageSession> session_;
  const MessageSession::Limits limits_;
  Gone gone_;
  bool closed_ = false;

  std::vector<uint8_t> header_, payload_;
  std::vector<UniqueFd> descriptors_;
  std::vector<uint8_t> control_;
  size_t header_size_ = 0, payload_size_ = 0;  // bytes that are there
  size_t wanted_payload_ = 0;                  // of this message, once its header is there
  size_t sent_ = 0;                            // of the session's reply
  bool answering_ = false;
  uint32_t watched_;                // epoll's events
  std::unique_ptr<FdWatch> watch_;  // before the socket that it watches
};

// The client's process; 0: not to be known, like that of a process in another name space.
pid_t peer_process(int socket);

}  // namespace acrn
