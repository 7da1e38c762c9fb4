#include "dm/block/sources/vhost_user/back_end_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kWhileDown{50}, kWhileUp{1000};
// A back end that has requests and answers none of them for so long is lost, however short requests are to wait.
constexpr seconds kHung{30};
// Answers taken before other tasks of the loop have their turn.
constexpr unsigned kAnswersPerTurn = 256;
// Of a command's memory.
constexpr uint32_t kHeader = 0, kSegment = 16, kStatus = 32;
constexpr uint8_t kNoStatus = 0xff;

}  // namespace

Result<std::unique_ptr<BackEndQueue>> BackEndQueue::open(BackEndLink& link, EventLoop& loop) {
  const auto index = link.take_queue();
  if (!index) {
    return Error{ErrorKind::kUsage, concat("virtio-blk ", link.server().name, ": there are ", link.queues(),
                                           " queues for more loops than that; give iothread=", link.queues())};
  }
  std::unique_ptr<BackEndQueue> queue(new BackEndQueue(link, *index, loop));
  if (auto started = queue->start(); !started) return started.error();
  return queue;
}

Result<void> BackEndQueue::start() {
  for (uint16_t i = 0; i < kCommands; i++) commands_[i].index = i;
  free_commands();
  auto again = loop_.make_notifier([this] { on_call(); });
  if (!again) return again.error();
  again_ = std::move(again).value();
  auto timer = loop_.make_timer([this] { on_tick(); });
  if (!timer) return timer.error();
  timer_ = std::move(timer).value();
  auto changed = loop_.make_notifier([this] { on_change(); });
  if (!changed) return changed.error();
  changed_ = std::move(changed).value();
  loop_polls_ = loop_.add_poller(*this);
  link_.attach(*changed_);
  on_change();
  return {};
}

BackEndQueue::~BackEndQueue() {
  if (changed_ != nullptr) link_.detach(*changed_);
  if (loop_polls_) loop_.remove_poller(*this);
  link_.give_back(index_);
}

void BackEndQueue::submit(std::span<BlockRequest* const> batch) {
  requests_.push(batch);
  // What waits already may be others', who are not to hear of it in here.
  if (requests_.is_waiting()) return;
  SinkGroup group;  // not ended: the caller knows when its submit() returns
  requests_.run([&] {
    while (take_next(group)) {
    }
  });
  expose();
}

// Everything that can be done now.
void BackEndQueue::work() {
  SinkGroup group;
  requests_.run([&] {
    if (is_up() && take_answers(group)) again_->notify();
    while (take_next(group)) {
    }
  });
  expose();
  group.end();
}

bool BackEndQueue::poll() {
  if (!is_up() || !ring_->ring.has_used()) return false;
  work();
  return true;
}

bool BackEndQueue::prepare_sleep() { return is_up() && ring_->ring.enable_interrupts(); }

void BackEndQueue::on_call() {
  if (is_up()) ring_->ring.disable_interrupts();
  work();
  // A loop that polls asks for them itself.
  if (!loop_polls_ && is_up() && ring_->ring.enable_interrupts()) again_->notify();
}

// The link has another connection, or none.
void BackEndQueue::on_change() {
  auto current = link_.connection();
  if (connection_ != nullptr && current != connection_) let_go();
  if (connection_ == nullptr && current != nullptr) adopt(std::move(current));
  on_tick();
}

void BackEndQueue::adopt(std::shared_ptr<BackEndConnection> connection) {
  connection_ = std::move(connection);
  ring_ = &connection_->ring(index_);
  broken_ = failing_ = false;
  call_watch_ = loop_.watch_event(ring_->call.fd(), [this] { on_call(); });
  if (call_watch_ == nullptr) break_up("its eventfd cannot be waited for");
}

void BackEndQueue::let_go() {
  call_watch_.reset();
  ring_ = nullptr;
  connection_.reset();
  requests_.begin_again(true);
  free_commands();
}

void BackEndQueue::break_up(std::string_view why) {
  if (std::exchange(broken_, true)) return;
  link_.give_up(*connection_, why);
}

void BackEndQueue::on_tick() {
  armed_ = false;
  const bool hung = Clock::now() - last_answer_at_ > std::max(link_.server().patience, kHung);
  // A child of ours may take its time; its socket tells of its death.
  if (is_up() && in_flight_ != 0 && hung && link_.server().comes_back) break_up("it does not answer");
  failing_ = ring_ == nullptr && link_.is_overdue();
  work();
  if (ring_ == nullptr) arm(kWhileDown);
  if (in_flight_ != 0) arm(kWhileUp);
}

void BackEndQueue::arm(milliseconds after) {
  if (std::exchange(armed_, true)) return;
  timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(after).count()));
}

void BackEndQueue::free_commands() {
  free_commands_ = nullptr;
  in_flight_ = 0;
  for (Command& command : commands_) command.next_free = std::exchange(free_commands_, &command);
}

// One step with what waits. False: there is none to be done now.
bool BackEndQueue::take_next(SinkGroup& group) {
  const auto server = is_up()    ? ServerRequests::Server::kUp
                      : failing_ ? ServerRequests::Server::kAwayTooLong
                                 : ServerRequests::Server::kAway;
  switch (requests_.next(server, rules(), group)) {
    case ServerRequests::Step::kNone: return false;
    case ServerRequests::Step::kAnswered: return true;
    case ServerRequests::Step::kUnfinished: break;
  }
  if (free_commands_ == nullptr || ring_->ring.free_entries() < BackEndRing::kLeastEntries) return false;
  issue(*requests_.unfinished(), group);
  return true;
}

ServerRequests::Rules BackEndQueue::rules() const {
  const BackEndFacts& facts = link_.facts();
  return {.size = link_.size(),
          .discard_unit = facts.discard_granularity,
          .read_only = facts.read_only,
          .can_flush = facts.can_flush,
          .can_discard = facts.can_discard};
}

// Makes a command for the next part of it.
void BackEndQueue::issue(Op& op, SinkGroup& group) {
  if (op.begin < op.end || op.request->op == BlockOp::kFlush) send_next(op);
  if (op.begin < op.end) return;
  requests_.note_all_made();
  if (op.commands == 0) requests_.finish(op, link_.facts().can_flush, group);  // a discard of less than a unit
}

void BackEndQueue::send_next(Op& op) {
  const BackEndFacts& facts = link_.facts();
  switch (op.request->op) {
    case BlockOp::kRead:
    case BlockOp::kWrite: return send_data(op);
    case BlockOp::kWriteZeroes:
      if (!facts.can_write_zeroes) return send_data(op);
      return send_range(op, VIRTIO_BLK_T_WRITE_ZEROES, facts.most_zeroes,
                        op.request->may_unmap && facts.can_unmap_zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
    case BlockOp::kDiscard: return send_range(op, VIRTIO_BLK_T_DISCARD, facts.most_discard, 0);
    case BlockOp::kFlush: return send_flush(op);
  }
}

void BackEndQueue::send_data(Op& op) {
  if (op.request->op == BlockOp::kWriteZeroes || !send_shared_data(op)) send_copied_data(op);
}

// False: the next bytes are nowhere where the back end sees them.
bool BackEndQueue::send_shared_data(Op& op) {
  const BackEndFacts& facts = link_.facts();
  Chain chain;
  const size_t room = std::min<size_t>(facts.segments, ring_->ring.free_entries() - 2u);  // for header and status
  uint64_t bytes = 0;
  bool sees = true;
  IoVecCursor place = op.place;
  place.for_each_piece(std::min(op.end - op.begin, facts.most_data), [&](std::byte* piece, size_t size) {
    sees = sees && chain.count <= room && connection_->sees(piece, size);
    if (!sees) return;
    chain.add({seen_at(piece), static_cast<uint32_t>(size)});
    bytes += size;
  });
  // Whole blocks.
  for (uint64_t rest = bytes - round_down(bytes, facts.block); rest != 0;) {
    GuestBuffer& last = chain.buffers[chain.count - 1];
    const auto cut = static_cast<uint32_t>(std::min<uint64_t>(rest, last.length));
    last.length -= cut;
    if (last.length == 0) chain.count--;
    rest -= cut;
    bytes -= cut;
  }
  if (bytes == 0) return false;
  op.place.advance(bytes);
  free_commands_->place = IoVecCursor();
  send(op, op.request->op == BlockOp::kRead ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, bytes, chain);
  return true;
}

// Through memory of ours.
void BackEndQueue::send_copied_data(Op& op) {
  Command& command = *free_commands_;
  const uint64_t bytes = std::min<uint64_t>({op.end - op.begin, link_.facts().most_data, BackEndRing::kDataBytes});
  Chain chain;
  chain.add(data_part(command, static_cast<uint32_t>(bytes)));
  if (op.request->op == BlockOp::kRead) {
    command.place = op.place;
    op.place.advance(bytes);
    return send(op, VIRTIO_BLK_T_IN, bytes, chain);
  }
  std::byte* const to = data_of(command);
  if (op.request->op == BlockOp::kWriteZeroes) {
    std::memset(to, 0, bytes);
  } else {
    op.place.copy_to(to, bytes);
  }
  send(op, VIRTIO_BLK_T_OUT, bytes, chain);
}

void BackEndQueue::send_range(Op& op, uint32_t type, uint64_t most, uint32_t flags) {
  const Command& command = *free_commands_;
  const uint64_t bytes = std::min(op.end - op.begin, most);
  Chain chain;
  chain.add(head_part(command, kSegment, sizeof(VirtioBlkDiscardWriteZeroes)));
  ring_->memory.store(BackEndRing::kHeads + command.index * BackEndRing::kHeadBytes + kSegment,
                      VirtioBlkDiscardWriteZeroes{op.begin / VIRTIO_BLK_SECTOR_SIZE,
                                                  static_cast<uint32_t>(bytes / VIRTIO_BLK_SECTOR_SIZE), flags});
  send(op, type, bytes, chain);
}

void BackEndQueue::send_flush(Op& op) {
  op.flushed = true;
  op.covered = link_.writes().written();
  Chain chain;
  send(op, VIRTIO_BLK_T_FLUSH, 0, chain);
}

// The free command is put into the ring, for the request's next `bytes`.
void BackEndQueue::send(Op& op, uint32_t type, uint64_t bytes, Chain& chain) {
  Command& command = *free_commands_;
  free_commands_ = command.next_free;
  const uint32_t head = BackEndRing::kHeads + command.index * BackEndRing::kHeadBytes;
  const bool has_sector = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT;
  ring_->memory.store(head + kHeader,
                      VirtioBlkOuthdr{type, 0, has_sector ? op.begin / VIRTIO_BLK_SECTOR_SIZE : uint64_t{0}});
  ring_->memory.store(head + kStatus, kNoStatus);
  const size_t readable = type == VIRTIO_BLK_T_IN ? 1 : chain.count;
  chain.buffers[0] = head_part(command, kHeader, sizeof(VirtioBlkOuthdr));
  chain.add(head_part(command, kStatus, 1));
  command.op = &op;
  command.read = type == VIRTIO_BLK_T_IN ? static_cast<uint32_t>(bytes) : 0;
  command.writable = command.read + 1;
  const auto buffers = std::span(chain.buffers).first(chain.count);
  ring_->ring.add(buffers.first(readable), buffers.subspan(readable), command.index);
  op.begin += bytes;
  op.commands++;
  if (in_flight_++ == 0) {
    last_answer_at_ = Clock::now();
    connection_->note_request();
  }
  arm(kWhileUp);
}

GuestBuffer BackEndQueue::head_part(const Command& command, uint32_t offset, uint32_t bytes) const {
  return {Gpa{raw(ring_->base) + BackEndRing::kHeads + command.index * BackEndRing::kHeadBytes + offset}, bytes};
}

GuestBuffer BackEndQueue::data_part(const Command& command, uint32_t bytes) const {
  return {Gpa{raw(ring_->base) + BackEndRing::kData + uint64_t{command.index} * BackEndRing::kDataBytes}, bytes};
}

std::byte* BackEndQueue::data_of(const Command& command) const {
  const GuestSlice data =
      ring_->memory.part(BackEndRing::kData + command.index * BackEndRing::kDataBytes, BackEndRing::kDataBytes);
  return static_cast<std::byte*>(data.io_vector().iov_base);
}

// Shows the back end what was put into the ring.
void BackEndQueue::expose() {
  if (is_up() && ring_->ring.expose()) ring_->kick->signal();
}

// True: there are more.
bool BackEndQueue::take_answers(SinkGroup& group) {
  if (loop_polls_) ring_->ring.disable_interrupts();  // until prepare_sleep()
  unsigned taken = 0;
  for (; taken < kAnswersPerTurn; taken++) {
    const auto used = ring_->ring.take_used();
    if (!used) break;
    take_answer(commands_[used->token], used->written, group);
    if (broken_) return false;
  }
  if (ring_->ring.broken()) break_up("it returned what it had not been given");
  if (taken != 0) {
    last_answer_at_ = Clock::now();
    connection_->note_answer();
  }
  return taken == kAnswersPerTurn;
}

void BackEndQueue::take_answer(Command& command, uint32_t written, SinkGroup& group) {
  Op& op = *command.op;
  const auto status =
      ring_->memory.load<uint8_t>(BackEndRing::kHeads + command.index * BackEndRing::kHeadBytes + kStatus);
  if (written > command.writable) return break_up("it wrote more than it had room for");
  if (status > VIRTIO_BLK_S_UNSUPP) return break_up(concat("it answered with status ", status));
  if (status != VIRTIO_BLK_S_OK) {
    op.error = status == VIRTIO_BLK_S_UNSUPP ? EOPNOTSUPP : EIO;
  } else if (written < command.read) {
    op.error = EIO;
  } else if (command.read != 0) {
    command.place.copy_from(data_of(command), command.read);
  }
  command.next_free = std::exchange(free_commands_, &command);
  in_flight_--;
  if (--op.commands == 0 && requests_.unfinished() != &op) end_commands(op, group);
}

// All of its commands are answered.
void BackEndQueue::end_commands(Op& op, SinkGroup& group) {
  const BlockRequest& request = *op.request;
  const bool wants_flush = is_write(request) && request.stable && link_.facts().can_flush && !op.flushed;
  if (op.error == 0 && wants_flush) return send_flush(op);  // a command of its own has just been answered
  requests_.finish(op, link_.facts().can_flush, group);
}

}  // namespace acrn
