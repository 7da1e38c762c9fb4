#include "dm/server/nbd/client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "acrn/base/round.h"

namespace acrn::nbd {
namespace {

constexpr size_t kInput = 64 << 10;        // bytes that are received at a time
constexpr size_t kKeptMemory = 256 << 10;  // bytes that a slot keeps between requests
constexpr unsigned kAnswersPerCall = 32;
constexpr size_t kMostExtents = 64, kExtentSize = 2 * sizeof(uint32_t);  // of an answer
constexpr unsigned kMostLooks = 256;                                     // at the map, for an answer
constexpr unsigned kTurns = 16;                                          // before other tasks of the loop have theirs
// Errors and the end are told of whatever is waited for: with this once, and not as long as they last.
constexpr uint32_t kNothing = EPOLLET;

WireError wire_error(int error) {
  switch (error) {
    case 0: return WireError::kNone;
    case EPERM:
    case EROFS: return WireError::kPermission;
    case ENOMEM: return WireError::kNoMemory;
    case EINVAL: return WireError::kInvalid;
    case ENOSPC:
    case EDQUOT: return WireError::kNoSpace;
    case EOPNOTSUPP: return WireError::kUnsupported;
    default: return WireError::kIo;
  }
}

bool carries_data(const Request& request) {
  return request.command == Command::kRead || request.command == Command::kWrite;
}

// What its slot needs.
size_t memory_for(const Request& request) {
  if (request.command == Command::kBlockStatus) return kMostExtents * kExtentSize;
  return carries_data(request) ? request.length : 0;
}

}  // namespace

Client::Client(UniqueFd socket, std::unique_ptr<BlockChannel> channel, const ExportFacts& facts, DiskMap* map,
               const Rules& rules, Gone gone)
    : socket_(std::move(socket)),
      channel_(std::move(channel)),
      facts_(facts),
      map_(map),
      rules_(rules),
      gone_(std::move(gone)),
      watched_(EPOLLIN | EPOLLOUT),
      input_(kInput) {
  negotiation_.emplace(facts_, text_);
  for (unsigned i = 0; i < kSlots; i++) {
    slots_.push_back(std::make_unique<Slot>());
    free_.push_back(slots_.back().get());
  }
  batch_.reserve(kSlots);
}

std::unique_ptr<Client> Client::create(EventLoop& loop, UniqueFd socket, std::unique_ptr<BlockChannel> channel,
                                       const ExportFacts& facts, DiskMap* map, const Rules& rules, Gone gone) {
  std::unique_ptr<Client> client(new Client(std::move(socket), std::move(channel), facts, map, rules, std::move(gone)));
  client->watch_ = loop.watch(client->socket_.fd(), client->watched_,
                              [raw = client.get()](uint32_t events) { raw->handle(events); });
  if (client->watch_ == nullptr) return nullptr;
  return client;
}

void Client::handle(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) end("");
  work();
}

// Answers what is done, and takes what there is room for.
void Client::work() {
  if (ended_ || working_) return;
  working_ = true;
  bool sent = send(), more = sent;
  for (unsigned turn = 0; turn < kTurns && more; turn++) {
    unsigned taken = 0;
    while (sent && taken < kSlots && take()) {
      taken++;
      if (!text_.empty()) sent = send();
    }
    submit();
    sent = sent && send();
    more = sent && taken != 0;
  }
  working_ = false;
  if (ended_) return;
  const bool waits_for_room = request_ && receiving_ == nullptr;
  const uint32_t wanted = !sent ? EPOLLOUT : more ? EPOLLIN | EPOLLOUT : waits_for_room ? kNothing : EPOLLIN;
  if (std::exchange(watched_, wanted) != wanted) watch_->set_events(wanted);
}

// One step. False: there is nothing to take, or no room for it, or nothing is taken any more.
bool Client::take() {
  if (ended_) return false;
  if (negotiation_) return negotiate();
  if (receiving_ != nullptr) return take_payload();
  return take_request();
}

bool Client::negotiate() {
  const size_t wanted = negotiation_->wanted();
  if (!fill(wanted)) return false;
  switch (negotiation_->take(consume(wanted))) {
    case Negotiation::Next::kAnotherStep: return true;
    case Negotiation::Next::kTransmission:
      agreed_ = negotiation_->agreed();
      negotiation_.reset();
      return true;
    case Negotiation::Next::kEnd:
      send();
      end("");
      return false;
    case Negotiation::Next::kMisbehaved: break;
  }
  end("it does not speak the NBD protocol");
  return false;
}

bool Client::take_request() {
  if (!request_) {
    if (!fill(kRequestSize)) return false;
    const Request request = parse_request(consume(kRequestSize));
    if (request.magic != kRequestMagic) {
      end("a request that is none");
      return false;
    }
    if (carries_data(request) && request.length > kMostPayload) {
      end("more data in a request than it was told of");
      return false;
    }
    request_ = request;
  }
  if (request_->command == Command::kDisconnect) {
    end("");
    return false;
  }
  Slot* const slot = make_room(memory_for(*request_));
  if (slot == nullptr) return false;
  slot->cookie = request_->cookie;
  slot->command = request_->command;
  slot->start = request_->offset;
  if (request_->command == Command::kWrite) {
    receiving_ = slot;
    received_ = 0;
    return take_payload();
  }
  start(*slot, *std::exchange(request_, std::nullopt));
  return true;
}

bool Client::take_payload() {
  const size_t length = request_->length;
  if (const size_t there = std::min(length - received_, input_end_ - input_start_); there != 0) {
    std::memcpy(receiving_->memory.get() + received_, consume(there).data(), there);
    received_ += there;
  }
  while (received_ < length) {
    const ssize_t size = ::recv(socket_.fd(), receiving_->memory.get() + received_, length - received_, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return false;
    if (size <= 0) {
      end("");
      return false;
    }
    received_ += static_cast<size_t>(size);
  }
  start(*std::exchange(receiving_, nullptr), *std::exchange(request_, std::nullopt));
  return true;
}

// Whether so many bytes were received.
bool Client::fill(size_t wanted) {
  while (input_end_ - input_start_ < wanted) {
    if (input_start_ != 0) {
      std::memmove(input_.data(), input_.data() + input_start_, input_end_ - input_start_);
      input_end_ -= std::exchange(input_start_, 0);
    }
    const ssize_t size = ::recv(socket_.fd(), input_.data() + input_end_, input_.size() - input_end_, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return false;
    if (size <= 0) {
      end("");
      return false;
    }
    input_end_ += static_cast<size_t>(size);
  }
  return true;
}

std::span<const uint8_t> Client::consume(size_t size) {
  const auto bytes = std::span<const uint8_t>(input_).subspan(input_start_, size);
  input_start_ += size;
  return bytes;
}

// Null: later.
Client::Slot* Client::make_room(size_t bytes) {
  if (free_.empty() || bytes_ + bytes > kMostBytes) return nullptr;
  Slot* const slot = free_.back();
  if (slot->memory_size < bytes) {
    const size_t size = round_up(bytes, kPageBytes);
    slot->memory_size = 0;
    slot->memory.reset(static_cast<uint8_t*>(std::aligned_alloc(kPageBytes, size)));
    if (slot->memory == nullptr) {
      end("there is no memory for its requests");
      return nullptr;
    }
    slot->memory_size = size;
  }
  free_.pop_back();
  bytes_ += slot->memory_size;
  return slot;
}

int Client::check(const Request& request) const {
  const bool writes = request.command == Command::kWrite || request.command == Command::kWriteZeroes ||
                      request.command == Command::kTrim;
  if (request.command == Command::kFlush) return 0;
  if (request.command == Command::kBlockStatus && (!agreed_.status || request.length == 0)) return EINVAL;
  if (!writes && request.command != Command::kRead && request.command != Command::kBlockStatus) return EINVAL;
  if (writes && (facts_.flags & kReadOnly) != 0) return EPERM;
  if (request.command == Command::kTrim && (facts_.flags & kSendTrim) == 0) return EINVAL;
  if (request.offset % facts_.least_block != 0 || request.length % facts_.least_block != 0) return EINVAL;
  if (request.offset > facts_.size || request.length > facts_.size - request.offset) return writes ? ENOSPC : EINVAL;
  return 0;
}

void Client::start(Slot& slot, const Request& request) {
  slot.data = 0;
  const int error = check(request);
  if (error != 0 || (request.length == 0 && request.command != Command::kFlush)) {
    answer(slot, error);
    return;
  }
  if (request.command == Command::kBlockStatus) return describe(slot, request);
  fill(slot, request);
  batch_.push_back(&slot);
}

// The request for the disk.
void Client::fill(Slot& slot, const Request& request) {
  const bool stable = (request.flags & kCommandFua) != 0 || !rules_.writeback;
  slot.vector = {slot.memory.get(), request.length};
  slot.stable = slot.may_unmap = slot.flushes = slot.engine_will_block = false;
  slot.offset = request.offset;
  slot.length = request.length;
  slot.iov = {};
  slot.sink = this;
  slot.error = 0;
  switch (request.command) {
    case Command::kRead:
      slot.op = BlockOp::kRead;
      slot.iov = {&slot.vector, 1};
      slot.data = request.length;
      break;
    case Command::kWrite:
      slot.op = BlockOp::kWrite;
      slot.iov = {&slot.vector, 1};
      slot.stable = stable;
      break;
    case Command::kWriteZeroes:
      slot.op = BlockOp::kWriteZeroes;
      slot.stable = stable;
      slot.may_unmap = rules_.discard && (request.flags & kCommandNoHole) == 0;
      break;
    case Command::kTrim:
      slot.op = BlockOp::kDiscard;
      slot.flushes = (request.flags & kCommandFua) != 0;
      break;
    case Command::kFlush:
    case Command::kBlockStatus:
    case Command::kDisconnect:
      slot.op = BlockOp::kFlush;
      slot.offset = slot.length = 0;
      break;
  }
}

// What was taken in one turn. What is done inside submit() is answered, and may leave more to submit.
void Client::submit() {
  while (!batch_.empty()) {
    std::array<BlockRequest*, kSlots> batch;
    const size_t count = batch_.size();
    std::copy(batch_.begin(), batch_.end(), batch.begin());
    batch_.clear();
    in_flight_ += static_cast<unsigned>(count);
    channel_->submit(std::span(batch).first(count));
  }
}

void Client::request_done(BlockRequest& request) {
  Slot& slot = static_cast<Slot&>(request);
  in_flight_--;
  if (slot.error == 0 && std::exchange(slot.flushes, false)) {
    slot.op = BlockOp::kFlush;
    slot.offset = slot.length = 0;
    batch_.push_back(&slot);
    if (!working_) submit();
    return;
  }
  answer(slot, slot.error);
  if (ended_) end_when_idle();
}

// Extents until the end of what was asked for, or as many as there is room for.
void Client::describe(Slot& slot, const Request& request) {
  const size_t most = (request.flags & kCommandReqOne) != 0 ? 1 : kMostExtents;
  std::vector<uint8_t> extents;
  uint64_t bytes = 0;
  bool zeroes = false;
  const auto add = [&] {
    if (bytes == 0) return;
    put_number(extents, static_cast<uint32_t>(bytes));
    put_number(extents, zeroes ? kStateHole | kStateZero : 0);
    bytes = 0;
  };
  const uint64_t end = request.offset + request.length;
  unsigned looks = 0;
  for (uint64_t at = request.offset; at < end && looks < kMostLooks; looks++) {
    const DiskMap::Extent extent = whole_blocks(map_->extent_at(at), end - at);
    if (extent.zeroes != zeroes) {
      add();
      if (extents.size() == most * kExtentSize) break;
    }
    zeroes = extent.zeroes;
    bytes += extent.bytes;
    at += extent.bytes;
  }
  add();
  std::copy(extents.begin(), extents.end(), slot.memory.get());
  slot.data = extents.size();
  answer(slot, 0);
}

// Of the export's: what is not all zeroes is data.
DiskMap::Extent Client::whole_blocks(const DiskMap::Extent& extent, uint64_t left) const {
  const uint64_t unit = facts_.least_block, bytes = std::min(extent.bytes, left);
  if (!extent.zeroes) return {std::min(left, (bytes + unit - 1) / unit * unit), false};
  if (bytes < unit) return {unit, false};
  return {bytes / unit * unit, true};
}

void Client::answer(Slot& slot, int error) {
  if (error != 0) slot.data = 0;
  const auto data = static_cast<uint32_t>(slot.data);
  if (!agreed_.structured || (slot.command != Command::kRead && slot.command != Command::kBlockStatus)) {
    slot.head = ReplyHead::simple(wire_error(error), slot.cookie);
  } else if (error != 0) {
    slot.head = ReplyHead::error(wire_error(error), slot.cookie);
  } else if (data == 0) {
    slot.head = ReplyHead::nothing(slot.cookie);
  } else {
    slot.head = slot.command == Command::kRead ? ReplyHead::read(slot.cookie, slot.start, data)
                                               : ReplyHead::status(slot.cookie, data);
  }
  slot.next = nullptr;
  (first_answer_ == nullptr ? first_answer_ : last_answer_->next) = &slot;
  last_answer_ = &slot;
}

// False: the client does not take more now.
bool Client::send() {
  if (!send_text()) return false;
  while (first_answer_ != nullptr) {
    std::array<iovec, 2 * kAnswersPerCall> parts;
    size_t count = 0, skip = answer_sent_;
    const auto add = [&](uint8_t* data, size_t size) {
      const size_t skipped = std::min(skip, size);
      skip -= skipped;
      if (size != skipped) parts[count++] = {data + skipped, size - skipped};
    };
    for (Slot* slot = first_answer_; slot != nullptr && count + 2 <= parts.size(); slot = slot->next) {
      add(slot->head.data(), slot->head.size());
      add(slot->memory.get(), slot->data);
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t size = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN) end("");
    if (size < 0) return false;
    answer_sent_ += static_cast<size_t>(size);
    while (first_answer_ != nullptr && answer_sent_ >= first_answer_->head.size() + first_answer_->data) {
      Slot* const slot = first_answer_;
      answer_sent_ -= slot->head.size() + slot->data;
      first_answer_ = slot->next;
      release(*slot);
    }
  }
  return true;
}

bool Client::send_text() {
  while (text_sent_ < text_.size()) {
    const ssize_t size = ::send(socket_.fd(), text_.data() + text_sent_, text_.size() - text_sent_, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN) end("");
    if (size < 0) return false;
    text_sent_ += static_cast<size_t>(size);
  }
  text_.clear();
  text_sent_ = 0;
  return true;
}

void Client::release(Slot& slot) {
  bytes_ -= slot.memory_size;
  if (slot.memory_size > kKeptMemory) {
    slot.memory.reset();
    slot.memory_size = 0;
  }
  free_.push_back(&slot);
}

void Client::end(std::string_view why) {
  if (ended_) return;
  ended_ = true;
  why_ = why;
  watch_->set_events(kNothing);
  ::shutdown(socket_.fd(), SHUT_RDWR);
  end_when_idle();
}

void Client::end_when_idle() {
  if (in_flight_ == 0 && batch_.empty() && gone_) std::exchange(gone_, nullptr)(why_);
}

}  // namespace acrn::nbd
