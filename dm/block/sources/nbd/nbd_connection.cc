#include "dm/block/sources/nbd/nbd_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/base/round.h"
#include "dm/base/errno_text.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Vectors that are shorter are copied together: a command for each costs the server more than the copy.
constexpr uint64_t kDirect = 64 << 10, kBounce = 256 << 10;
constexpr uint64_t kMostPayload = 1 << 20;  // of one command, so that a large request is several at once
constexpr uint64_t kMostOther = 256 << 20;  // bytes of one TRIM or WRITE_ZEROES
constexpr milliseconds kBetweenAttempts{250}, kBetweenLooks{1000};
// A server that has commands and answers none of them for so long is lost, however short requests are to wait.
constexpr seconds kHung{30};
// Of what the socket has, before other tasks of the loop have their turn.
constexpr unsigned kReceivesPerTurn = 256;

}  // namespace

NbdConnection::NbdConnection(NbdExport& what, EventLoop& loop)
    : export_(what),
      loop_(loop),
      bounce_(static_cast<std::byte*>(std::calloc(kCommands, kBounce))),
      requests_(what.writes(), what.server().patience) {
  free_commands();
}

Result<std::unique_ptr<NbdConnection>> NbdConnection::open(NbdExport& what, EventLoop& loop) {
  std::unique_ptr<NbdConnection> connection(new NbdConnection(what, loop));
  if (auto started = connection->start(); !started) return started.error();
  return connection;
}

Result<void> NbdConnection::start() {
  if (bounce_ == nullptr) return Error{ErrorKind::kInternal, concat(export_.server().name, ": out of memory")};
  for (size_t i = 0; i < kCommands; i++) {
    commands_[i].connection = this;
    commands_[i].bounce = bounce_.get() + i * kBounce;
  }
  const auto make = [this](std::unique_ptr<Notifier>& notifier, void (NbdConnection::*handler)()) -> Result<void> {
    auto made = loop_.make_notifier([this, handler] { (this->*handler)(); });
    if (!made) return made.error();
    notifier = std::move(made).value();
    return {};
  };
  if (auto made = make(again_, &NbdConnection::on_socket); !made) return made;
  if (auto made = make(connected_, &NbdConnection::on_connected); !made) return made;
  if (auto made = make(renew_, &NbdConnection::on_renew); !made) return made;
  auto timer = loop_.make_timer([this] { on_tick(); });
  if (!timer) return timer.error();
  timer_ = std::move(timer).value();
  connector_ = std::make_unique<NbdConnector>(export_.uri(), *connected_);
  auto handle = connect_nbd(export_.uri(), kNbdPatience);
  if (!handle) return handle.error();
  if (!is_the_same(facts_of(handle.value().get()))) {
    return Error{ErrorKind::kNoInput, concat("virtio-blk ", export_.server().name, ": the export has just changed")};
  }
  if (adopt(std::move(handle).value())) return {};
  return Error{ErrorKind::kInternal, concat("virtio-blk ", export_.server().name, ": epoll: ", errno_text(errno))};
}

NbdConnection::~NbdConnection() {
  if (is_up()) nbd_aio_disconnect(handle_.get(), 0);  // politely, if it can be said at once
}

// False: the loop does not take its socket.
bool NbdConnection::adopt(NbdHandle handle) {
  socket_ = UniqueFd(::fcntl(nbd_aio_get_fd(handle.get()), F_DUPFD_CLOEXEC, 0));
  if (!socket_) return false;
  watch_ = loop_.watch(socket_.fd(), EPOLLIN, [this](uint32_t) { on_socket(); });
  if (watch_ == nullptr) return false;
  writing_ = false;
  answered_since_ = false;
  handle_ = std::move(handle);
  return true;
}

bool NbdConnection::is_dead() const {
  return nbd_aio_is_dead(handle_.get()) == 1 || nbd_aio_is_closed(handle_.get()) == 1;
}

void NbdConnection::submit(std::span<BlockRequest* const> batch) {
  requests_.push(batch);
  // What waits already may be others', who are not to hear of it in here.
  if (requests_.is_waiting()) return;
  SinkGroup group;  // not ended: the caller knows when its submit() returns
  requests_.run([&] {
    while (take_next(group)) {
    }
  });
  watch_socket();
  if (answers_ != nullptr || (handle_ != nullptr && is_dead())) again_->notify();
}

void NbdConnection::on_socket() {
  receive();
  work();
}

// Until the socket has nothing more, which spares a turn of the loop for each answer. libnbd is told of what there is
// only: when it finds nothing, it sends nothing either until something comes.
void NbdConnection::receive() {
  for (unsigned turn = 0; turn < kReceivesPerTurn && is_up(); turn++) {
    const unsigned direction = nbd_aio_get_direction(handle_.get());
    pollfd socket{nbd_aio_get_fd(handle_.get()), 0, 0};
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) socket.events |= POLLIN;
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) socket.events |= POLLOUT;
    if (::poll(&socket, 1, 0) <= 0) return;
    const bool readable = (socket.events & POLLIN) != 0 && socket.revents != POLLOUT;
    readable ? nbd_aio_notify_read(handle_.get()) : nbd_aio_notify_write(handle_.get());
  }
}

// The loop tells of room in the socket only while libnbd has something to send.
void NbdConnection::watch_socket() {
  if (!is_up()) return;
  const bool wanted = (nbd_aio_get_direction(handle_.get()) & LIBNBD_AIO_DIRECTION_WRITE) != 0;
  if (std::exchange(writing_, wanted) != wanted) watch_->set_events(EPOLLIN | (wanted ? EPOLLOUT : 0u));
}

// Everything that can be done now.
void NbdConnection::work() {
  SinkGroup group;
  requests_.run([&] {
    do {
      take_answers(group);
      if (handle_ != nullptr && (is_dead() || shutting_down_)) lose();
      if (handle_ != nullptr && renewing_ && in_flight_ == 0) lose();
      while (take_next(group)) {
      }
    } while (answers_ != nullptr || (handle_ != nullptr && is_dead()));
  });
  watch_socket();
  group.end();
}

// One step with what waits. False: there is none to be done now.
bool NbdConnection::take_next(SinkGroup& group) {
  const bool up = is_up() && !shutting_down_ && !renewing_;
  const auto server = up         ? ServerRequests::Server::kUp
                      : failing_ ? ServerRequests::Server::kAwayTooLong
                                 : ServerRequests::Server::kAway;
  switch (requests_.next(server, rules(), group)) {
    case ServerRequests::Step::kNone: return false;
    case ServerRequests::Step::kAnswered: return true;
    case ServerRequests::Step::kUnfinished: break;
  }
  return free_commands_ != nullptr && issue(*requests_.unfinished(), group);
}

ServerRequests::Rules NbdConnection::rules() const {
  const NbdFacts& facts = export_.facts();
  return {.size = export_.size(),
          .discard_unit = facts.preferred,
          .read_only = facts.read_only,
          .can_flush = facts.can_flush,
          .can_discard = facts.can_trim};
}

// A free one, still on its list.
NbdConnection::Command& NbdConnection::next_command(Op& op) {
  Command& command = *free_commands_;
  command.op = &op;
  command.error = 0;
  command.bounced = 0;
  return command;
}

void NbdConnection::sent(Command& command) {
  free_commands_ = command.next;
  command.op->commands++;
  if (in_flight_++ == 0) last_answer_at_ = Clock::now();
  arm(kBetweenLooks);
}

// Makes a command for the next part of it. False: the connection is dead.
bool NbdConnection::issue(Op& op, SinkGroup& group) {
  uint64_t bytes = 0;
  if (op.begin < op.end || op.request->op == BlockOp::kFlush) {
    Command& command = next_command(op);
    const int64_t cookie = send(op, command, bytes);
    if (is_dead()) return false;
    if (cookie < 0) {
      op.error = nbd_get_errno() != 0 ? nbd_get_errno() : EIO;
      bytes = op.end - op.begin;
    } else {
      sent(command);
    }
  }
  op.begin += bytes;
  if (op.begin < op.end) return true;
  requests_.note_all_made();
  if (op.commands == 0) end_commands(op, group);
  return true;
}

// Below 0: libnbd does not take it. `bytes`: how many of the request's it is for.
int64_t NbdConnection::send(Op& op, Command& command, uint64_t& bytes) {
  switch (op.request->op) {
    case BlockOp::kRead:
    case BlockOp::kWrite: return send_transfer(op, command, bytes);
    case BlockOp::kWriteZeroes: return send_zeroes(op, command, bytes);
    case BlockOp::kDiscard:
      bytes = std::min(op.end - op.begin, kMostOther);
      return nbd_aio_trim(handle_.get(), bytes, op.begin, answer_to(command), 0);
    case BlockOp::kFlush: break;
  }
  return send_flush(op, command);
}

int64_t NbdConnection::send_flush(Op& op, Command& command) {
  op.flushed = true;
  op.covered = export_.writes().written();
  return nbd_aio_flush(handle_.get(), answer_to(command), 0);
}

uint32_t NbdConnection::fua_of(const Op& op) const {
  return op.request->stable && export_.facts().can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

int64_t NbdConnection::send_transfer(Op& op, Command& command, uint64_t& bytes) {
  const NbdFacts& facts = export_.facts();
  const bool read = op.request->op == BlockOp::kRead;
  const uint64_t rest = op.end - op.begin, most = std::min<uint64_t>({kMostPayload, facts.most_payload, rest});
  const iovec front = op.place.front();
  void* memory = front.iov_base;
  bytes = round_down(std::min<uint64_t>(front.iov_len, most), facts.least);
  if (bytes == rest || bytes >= kDirect) {
    op.place.advance(bytes);
  } else {
    memory = command.bounce;
    bytes = round_down(std::min(kBounce, most), facts.least);
    command.place = op.place;
    if (read) {
      op.place.advance(bytes);
      command.bounced = bytes;
    } else {
      op.place.copy_to(command.bounce, bytes);
    }
  }
  if (read) return nbd_aio_pread(handle_.get(), memory, bytes, op.begin, answer_to(command), 0);
  return nbd_aio_pwrite(handle_.get(), memory, bytes, op.begin, answer_to(command), fua_of(op));
}

int64_t NbdConnection::send_zeroes(const Op& op, Command& command, uint64_t& bytes) {
  const NbdFacts& facts = export_.facts();
  if (!facts.can_zero) {
    bytes = std::min<uint64_t>({op.end - op.begin, zero_bytes.size(), round_down(facts.most_payload, facts.least)});
    return nbd_aio_pwrite(handle_.get(), zero_bytes.data(), bytes, op.begin, answer_to(command), fua_of(op));
  }
  const uint32_t hole = op.request->may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE;
  bytes = std::min(op.end - op.begin, kMostOther);
  return nbd_aio_zero(handle_.get(), bytes, op.begin, answer_to(command), fua_of(op) | hole);
}

nbd_completion_callback NbdConnection::answer_to(Command& command) {
  return {.callback = answered, .user_data = &command, .free = nullptr};
}

// libnbd holds the handle's lock. It is told to forget the command.
int NbdConnection::answered(void* data, int* error) {
  Command& command = *static_cast<Command*>(data);
  NbdConnection& connection = *command.connection;
  command.error = *error;
  command.next = std::exchange(connection.answers_, &command);
  return 1;
}

void NbdConnection::take_answers(SinkGroup& group) {
  if (answers_ == nullptr) return;
  last_answer_at_ = Clock::now();
  while (answers_ != nullptr) {
    Command& command = *answers_;
    answers_ = command.next;
    // Not the server's answer: lose() sends it again.
    shutting_down_ |= command.error == ESHUTDOWN;
    if (command.error == ESHUTDOWN || (command.error != 0 && is_dead())) continue;
    answered_since_ = true;
    Op& op = *command.op;
    if (command.error != 0) {
      op.error = command.error;
    } else if (command.bounced != 0) {
      command.place.copy_from(command.bounce, command.bounced);
    }
    command.next = std::exchange(free_commands_, &command);
    in_flight_--;
    if (--op.commands == 0 && requests_.unfinished() != &op) end_commands(op, group);
  }
}

// All of its commands are answered.
void NbdConnection::end_commands(Op& op, SinkGroup& group) {
  const BlockRequest& request = *op.request;
  const NbdFacts& facts = export_.facts();
  if (op.error != 0 || !is_write(request) || !request.stable || facts.can_fua || !facts.can_flush || op.flushed) {
    return requests_.finish(op, facts.can_flush, group);
  }
  Command& command = next_command(op);  // one of its own has just been answered
  const int64_t cookie = send_flush(op, command);
  if (is_dead()) return;  // it is carried out again
  if (cookie >= 0) return sent(command);
  op.error = EIO;
  requests_.finish(op, facts.can_flush, group);
}

void NbdConnection::free_commands() {
  free_commands_ = nullptr;
  answers_ = nullptr;
  in_flight_ = 0;
  for (Command& command : commands_) command.next = std::exchange(free_commands_, &command);
}

// The connection's end, and the search for the next one.
void NbdConnection::lose() {
  // Ended by us, with nothing in flight: the server has not gone.
  const bool ours = renewing_ && in_flight_ == 0 && !is_dead() && !shutting_down_;
  // One that comes back only to go again makes nobody wait longer.
  const bool had_answered = answered_since_ || in_flight_ == 0;
  watch_.reset();
  socket_.reset();
  handle_.reset();
  requests_.begin_again(!ours);
  free_commands();

  const auto now = Clock::now();
  if (had_answered || down_since_ == Clock::time_point()) down_since_ = now;
  failing_ = false;
  renewing_ = shutting_down_ = false;
  renewed_ = ours;
  if (!ours) {
    export_.server().log_lost(++losses_);
    if (export_.writes().note_lost_server()) export_.server().log_lost_writes();
    failing_ = export_.server().patience == seconds(0);
  }
  if (!ours && !export_.server().comes_back) return;
  if (now >= next_attempt_) connector_->start();
  arm(kBetweenAttempts);
}

// What is in flight is answered first: a copy of it could still be carried out after a newer write.
void NbdConnection::on_renew() {
  renewing_ = handle_ != nullptr;
  work();
}

void NbdConnection::on_connected() {
  auto taken = connector_->take();
  if (!taken) return;
  next_attempt_ = Clock::now() + kBetweenAttempts;
  Result<NbdHandle>& made = *taken;
  const bool same = made && is_the_same(facts_of(made.value().get()));
  if (!same && std::exchange(renewed_, false)) export_.writes().note_lost_server();  // it has gone all the same
  if (made && !same && !std::exchange(refused_, true)) {
    log(LogLevel::kWarning, concat("virtio-blk ", export_.server().name,
                                   ": the server is back with less than the export had; it is not taken"));
  }
  if (same && handle_ == nullptr && adopt(std::move(made).value())) {
    failing_ = refused_ = false;
    if (losses_ != 0 && worth_telling(losses_)) {
      log(LogLevel::kInfo, concat("virtio-blk ", export_.server().name, ": the server is back"));
    }
  }
  work();
}

// What a driver has been told has to stay true.
bool NbdConnection::is_the_same(const NbdFacts& facts) const {
  const NbdFacts& before = export_.facts();
  return facts.size >= export_.size() && facts.least <= before.least && facts.most_payload >= before.most_payload &&
         facts.read_only <= before.read_only && facts.can_flush >= before.can_flush &&
         facts.can_fua >= before.can_fua && facts.can_trim >= before.can_trim && facts.can_zero >= before.can_zero;
}

void NbdConnection::on_tick() {
  armed_ = false;
  const auto now = Clock::now();
  const bool hung = now - last_answer_at_ > std::max(export_.server().patience, kHung);
  // A child of ours may take its time; its socket tells of its death.
  if (handle_ != nullptr && in_flight_ != 0 && hung && export_.server().comes_back) lose();
  if (handle_ == nullptr && export_.server().comes_back) {
    failing_ |= now - down_since_ >= export_.server().patience;
    if (now >= next_attempt_) connector_->start();
  }
  work();
  if (handle_ == nullptr && export_.server().comes_back) arm(kBetweenAttempts);
  if (in_flight_ != 0) arm(kBetweenLooks);
}

void NbdConnection::arm(milliseconds after) {
  if (std::exchange(armed_, true)) return;
  timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(after).count()));
}

}  // namespace acrn
