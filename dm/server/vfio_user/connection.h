// Connection: one client's socket on a loop, and its Session. Reads a message, answers it, and takes the next one when
// the answer is gone: a client that does not read has nobody's memory but its own to fill. On the loop.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "dm/event/epoll_loop.h"
#include "dm/server/vfio_user/session.h"

namespace acrn::vfio_user {

class Connection {
 public:
  // `gone` runs at most once, from within the loop's call, which still needs the connection, with the reason if the
  // client has not just left. What the session needs outlives the connection.
  using Gone = std::function<void(std::string_view why)>;
  static std::unique_ptr<Connection> create(EpollLoop& loop, UniqueFd socket, PciFunction& function, DmaTable& memory,
                                            IrqTable& interrupts, Gone gone);

  // The client has closed its end, though the loop may not have heard of it yet.
  bool hung_up() const;

 private:
  Connection(UniqueFd socket, PciFunction& function, DmaTable& memory, IrqTable& interrupts, Gone gone);

  void handle(uint32_t events);
  bool serve();
  bool read_header();
  bool read_payload();
  bool receive(uint8_t* to, size_t size, size_t& received, bool with_descriptors);
  void answer();
  bool send();
  void end(std::string_view why);

  UniqueFd socket_;
  Session session_;
  Gone gone_;
  bool closed_ = false;

  Header header_;
  std::vector<UniqueFd> descriptors_;
  std::array<uint8_t, kMaxPayload> payload_;
  size_t header_size_ = 0, payload_size_ = 0;  // bytes that are there
  size_t sent_ = 0;                            // of the session's reply
  bool answering_ = false;
  uint32_t watched_;                // epoll's events
  std::unique_ptr<FdWatch> watch_;  // before the socket that it watches
};

}  // namespace acrn::vfio_user
