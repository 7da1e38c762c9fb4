// BackEndQueue: the requests of one loop, over one queue of a back end. Data goes through memory of ours that the back
// end sees, unless it sees the guest's. When the back end is lost, requests wait for the next connection and are sent
// again; what has waited too long fails.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "acrn/block/iovec_cursor.h"
#include "acrn/event/event_loop.h"
#include "dm/block/request_list.h"
#include "dm/block/sources/server_requests.h"
#include "dm/block/sources/vhost_user/back_end_link.h"

namespace acrn {

// On its loop.
class BackEndQueue final : private Poller {
 public:
  // Takes one of the back end's queues. Errors: kUsage, the others have them all; kInternal.
  static Result<std::unique_ptr<BackEndQueue>> open(BackEndLink& link, EventLoop& loop);
  ~BackEndQueue();
  BackEndQueue(const BackEndQueue&) = delete;
  BackEndQueue& operator=(const BackEndQueue&) = delete;

  void submit(std::span<BlockRequest* const> batch);

 private:
  using Clock = BackEndLink::Clock;
  static constexpr uint16_t kCommands = BackEndRing::kCommands;

  using Op = ServerRequests::Op;
  // Of a command: header, data, status. Header and status are send()'s.
  struct Chain {
    std::array<GuestBuffer, BackEndRing::kEntries> buffers;
    size_t count = 1;
    void add(const GuestBuffer& buffer) { buffers[count++] = buffer; }
  };
  struct Command {
    uint16_t index = 0;  // of its memory, and its token in the ring
    Command* next_free = nullptr;
    Op* op = nullptr;
    uint32_t writable = 0;  // bytes that the back end may write
    uint32_t read = 0;      // of those, the data
    IoVecCursor place;      // where that goes from our memory; none: it is there already
  };

  BackEndQueue(BackEndLink& link, unsigned index, EventLoop& loop)
      : link_(link), index_(index), loop_(loop), requests_(link.writes(), link.server().patience) {}
  Result<void> start();

  bool poll() override;
  bool wants_polling() const override { return in_flight_ != 0; }
  bool prepare_sleep() override;

  bool is_up() const { return ring_ != nullptr && !broken_; }
  void on_change();
  void on_call();
  void on_tick();
  void arm(std::chrono::milliseconds after);
  void adopt(std::shared_ptr<BackEndConnection> connection);
  void let_go();
  void break_up(std::string_view why);

  void work();
  bool take_next(SinkGroup& group);
  ServerRequests::Rules rules() const;
  void issue(Op& op, SinkGroup& group);
  void send_next(Op& op);
  void send(Op& op, uint32_t type, uint64_t bytes, Chain& chain);
  void send_data(Op& op);
  void send_copied_data(Op& op);
  bool send_shared_data(Op& op);
  void send_range(Op& op, uint32_t type, uint64_t most, uint32_t flags);
  void send_flush(Op& op);
  GuestBuffer head_part(const Command& command, uint32_t offset, uint32_t bytes) const;
  GuestBuffer data_part(const Command& command, uint32_t bytes) const;
  std::byte* data_of(const Command& command) const;
  void expose();
  bool take_answers(SinkGroup& group);
  void take_answer(Command& command, uint32_t written, SinkGroup& group);
  void end_commands(Op& op, SinkGroup& group);
  void free_commands();

  BackEndLink& link_;
  const unsigned index_;
  EventLoop& loop_;
  bool loop_polls_ = false;
  std::unique_ptr<Notifier> changed_, again_;
  std::unique_ptr<Timer> timer_;
  bool armed_ = false, failing_ = false;

  std::array<Command, kCommands> commands_;
  Command* free_commands_ = nullptr;
  unsigned in_flight_ = 0;  // commands
  Clock::time_point last_answer_at_{};
  ServerRequests requests_;

  // While it is connected.
  std::shared_ptr<BackEndConnection> connection_;
  BackEndRing* ring_ = nullptr;
  std::unique_ptr<FdWatch> call_watch_;
  bool broken_ = false;  // it is of no more use, and the link has been told
};

}  // namespace acrn
