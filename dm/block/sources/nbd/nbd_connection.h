// NbdConnection: one connection to an NBD export, and the requests that wait for it. It reads, writes and completes on
// its loop. When the server is lost, a new connection is made, and what was not answered is sent again; what has waited
// too long fails.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/block/blockif.h"
#include "acrn/block/iovec_cursor.h"
#include "acrn/event/event_loop.h"
#include "dm/block/request_list.h"
#include "dm/block/sources/nbd/nbd_connector.h"
#include "dm/block/sources/nbd/nbd_export.h"
#include "dm/block/sources/server_requests.h"

namespace acrn {

// On its loop, but for renew().
class NbdConnection {
 public:
  // Connects, and waits for that.
  static Result<std::unique_ptr<NbdConnection>> open(NbdExport& what, EventLoop& loop);
  ~NbdConnection();
  NbdConnection(const NbdConnection&) = delete;
  NbdConnection& operator=(const NbdConnection&) = delete;

  void submit(std::span<BlockRequest* const> batch);
  // Another connection takes its place, since the export has changed. Any thread.
  void renew() { renew_->notify(); }

 private:
  using Clock = std::chrono::steady_clock;
  using Op = ServerRequests::Op;
  static constexpr size_t kCommands = 64;

  struct Command {
    NbdConnection* connection = nullptr;
    Command* next = nullptr;  // free, or answered
    Op* op = nullptr;
    int error = 0;
    std::byte* bounce = nullptr;  // kBounce bytes
    uint64_t bounced = 0;         // bytes of a read that come there and go to `place`
    IoVecCursor place;
  };

  NbdConnection(NbdExport& what, EventLoop& loop);
  Result<void> start();
  bool adopt(NbdHandle handle);
  bool is_dead() const;  // there is a handle
  bool is_up() const { return handle_ != nullptr && !is_dead(); }

  void on_socket();
  void receive();
  void watch_socket();
  void work();
  bool take_next(SinkGroup& group);
  ServerRequests::Rules rules() const;
  Command& next_command(Op& op);
  void sent(Command& command);
  bool issue(Op& op, SinkGroup& group);
  int64_t send(Op& op, Command& command, uint64_t& bytes);
  int64_t send_flush(Op& op, Command& command);
  int64_t send_transfer(Op& op, Command& command, uint64_t& bytes);
  int64_t send_zeroes(const Op& op, Command& command, uint64_t& bytes);
  uint32_t fua_of(const Op& op) const;
  static nbd_completion_callback answer_to(Command& command);
  static int answered(void* command, int* error);
  void take_answers(SinkGroup& group);
  void end_commands(Op& op, SinkGroup& group);
  void free_commands();

  void lose();
  void on_renew();
  void on_connected();
  bool is_the_same(const NbdFacts& facts) const;
  void on_tick();
  void arm(std::chrono::milliseconds after);

  NbdExport& export_;
  EventLoop& loop_;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> bounce_;
  std::array<Command, kCommands> commands_;
  Command* free_commands_ = nullptr;
  unsigned in_flight_ = 0;      // commands
  Command* answers_ = nullptr;  // the newest first: their order does not matter
  ServerRequests requests_;

  std::unique_ptr<Notifier> renew_, connected_, again_;
  std::unique_ptr<Timer> timer_;
  bool armed_ = false;
  std::unique_ptr<NbdConnector> connector_;
  Clock::time_point last_answer_at_{}, down_since_{}, next_attempt_{};
  bool failing_ = false;         // what waits has waited too long
  bool answered_since_ = false;  // the last connection was made
  bool shutting_down_ = false;   // the server says so
  bool renewing_ = false;        // another connection is wanted, when nothing is in flight
  bool renewed_ = false;         // the last one ended for that, and its server is there as far as we know
  bool refused_ = false;         // one that came back was, which was told of
  uint64_t losses_ = 0;

  // While it is connected.
  NbdHandle handle_;
  UniqueFd socket_;  // the same, since libnbd closes its own before we know
  std::unique_ptr<FdWatch> watch_;
  bool writing_ = false;  // told of room in the socket, too
};

}  // namespace acrn
