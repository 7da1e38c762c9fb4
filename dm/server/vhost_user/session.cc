#include "dm/server/vhost_user/session.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/virtio/ring_layout.h"
#include "dm/base/errno_text.h"

namespace acrn::vhost_user {
namespace {

// A message that has an answer of its own; one of them is enough.
bool has_answer(uint32_t request) {
  switch (request) {
    case GET_FEATURES:
    case GET_PROTOCOL_FEATURES:
    case GET_QUEUE_NUM:
    case GET_VRING_BASE:
    case GET_CONFIG:
    case GET_INFLIGHT_FD:
    case GET_MAX_MEM_SLOTS: return true;
    default: return false;
  }
}

// The most descriptors with a message.
size_t most_descriptors(uint32_t request) {
  switch (request) {
    case SET_MEM_TABLE: return kMaxTableRegions;
    case SET_VRING_KICK:
    case SET_VRING_CALL:
    case SET_VRING_ERR:
    case SET_BACKEND_REQ_FD:
    case SET_INFLIGHT_FD:
    case ADD_MEM_REG:
    case REM_MEM_REG: return 1;
    default: return 0;
  }
}

bool is_aligned(const VringAddress& address) {
  return address.desc % 16 == 0 && address.avail % 2 == 0 && address.used % 4 == 0;  // virtio 1.2 2.7
}

}  // namespace

Session::Session(VirtioDevice& device, GuestErrors& guest_errors, GuestMemory& memory, FrontEnd& front_end,
                 uint64_t& refused, pid_t client)
    : device_(device),
      guest_errors_(guest_errors),
      guest_memory_(memory),
      front_end_(front_end),
      memory_(memory, device, client),
      queues_(device.queue_count()),
      refused_(refused) {}

Session::~Session() {
  device_.leave();
  front_end_.clear();
  memory_.clear();
}

std::optional<size_t> Session::payload_size(std::span<const uint8_t> header) const {
  return exactly<Header>(header)->size;
}

std::string_view Session::handle(std::span<const uint8_t> header_bytes, std::span<const uint8_t> payload,
                                 std::vector<UniqueFd> descriptors) {
  const Header header = *exactly<Header>(header_bytes);
  reply_.clear();
  reply_file_.reset();
  if ((header.flags & kVersionMask) != kVersion || (header.flags & kFlagReply) != 0) {
    return "a message of another version of the protocol, or a reply to what was no question";
  }
  if (memory_.lost() || (inflight_ != nullptr && inflight_->lost())) return "it took away memory that it had shared";
  const int error = descriptors.size() <= most_descriptors(header.request)
                        ? carry_out({header.request, payload, descriptors})
                        : EINVAL;
  if (error != 0 && worth_telling(++refused_)) {
    log(LogLevel::kWarning, concat("vhost-user: request ", header.request,
                                   " of the front end was refused: ", errno_text(error), " (number ", refused_, ")"));
  }
  if (has_answer(header.request)) {
    if (error != 0 && end_.empty()) end_ = "it asked for what cannot be answered";
  } else if ((header.flags & kFlagNeedReply) != 0 && (protocol_features_ & kReplyAck) != 0) {
    answer(uint64_t{error != 0 ? 1u : 0u});
  } else if (error != 0 && most_descriptors(header.request) != 0) {
    end_ = "it shared what cannot be used, and did not ask whether it can";
  }
  if (!reply_.empty()) {
    const Header reply{header.request, kVersion | kFlagReply, static_cast<uint32_t>(reply_.size())};
    // SAFETY: a Header is three integers, without padding.
    const auto* bytes = reinterpret_cast<const uint8_t*>(&reply);
    reply_.insert(reply_.begin(), bytes, bytes + sizeof(reply));
  }
  return end_;
}

template <class T>
int Session::answer(const T& value) {
  // SAFETY: wire structures are made of integers, without padding.
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  reply_.insert(reply_.end(), bytes, bytes + sizeof(T));
  return 0;
}

int Session::carry_out(const Message& message) {
  switch (message.request) {
    case GET_FEATURES: return answer(offered());
    case SET_FEATURES: return set_features(message);
    case SET_OWNER: return 0;
    case RESET_OWNER:
    case RESET_DEVICE: return reset_device();
    case SET_MEM_TABLE: return set_memory_table(message);
    case SET_VRING_NUM: return set_vring_num(message);
    case SET_VRING_ADDR: return set_vring_address(message);
    case SET_VRING_BASE: return set_vring_base(message);
    case GET_VRING_BASE: return get_vring_base(message);
    case SET_VRING_KICK:
    case SET_VRING_CALL:
    case SET_VRING_ERR: return set_vring_descriptor(message);
    case GET_PROTOCOL_FEATURES: return answer(kOfferedProtocolFeatures);
    case SET_PROTOCOL_FEATURES: return set_protocol_features(message);
    case GET_QUEUE_NUM: return answer(uint64_t{device_.queue_count()});
    case SET_VRING_ENABLE: return set_vring_enable(message);
    case SET_BACKEND_REQ_FD:
      return message.descriptors.empty() ? EINVAL : front_end_.set_socket(std::move(message.descriptors[0]));
    case GET_CONFIG: return get_config(message);
    case SET_CONFIG: return set_config(message);
    case GET_INFLIGHT_FD: return get_inflight(message);
    case SET_INFLIGHT_FD: return set_inflight(message);
    case GET_MAX_MEM_SLOTS: return answer(uint64_t{kMaxMemorySlots});
    case ADD_MEM_REG:
    case REM_MEM_REG: return change_memory(message);
    default: return ENOTSUP;
  }
}

int Session::set_features(const Message& message) {
  const auto wanted = exactly<uint64_t>(message.payload);
  if (!wanted) return EINVAL;
  if ((*wanted & ~offered()) != 0) guest_errors_.record(GuestRule::kFeatureNotOffered, *wanted & ~offered());
  features_ = *wanted & offered();
  device_.set_features(features_ & device_.features());
  update_all();
  return 0;
}

int Session::set_protocol_features(const Message& message) {
  const auto wanted = exactly<uint64_t>(message.payload);
  if (!wanted || (*wanted & ~kOfferedProtocolFeatures) != 0) return EINVAL;
  protocol_features_ = *wanted;
  return 0;
}

int Session::set_memory_table(const Message& message) {
  auto rest = message.payload;
  const auto head = beginning<MemoryTableHead>(rest);
  if (!head || head->count > kMaxTableRegions) return EINVAL;
  std::vector<MemoryRegionDescription> regions;
  for (uint32_t i = 0; i < head->count; i++) {
    const auto region = beginning<MemoryRegionDescription>(rest);
    if (!region) return EINVAL;
    regions.push_back(*region);
  }
  return memory_changed(memory_.set(regions, message.descriptors));
}

int Session::change_memory(const Message& message) {
  const auto change = exactly<SingleRegion>(message.payload);
  if (!change) return EINVAL;
  if (message.request == REM_MEM_REG) return memory_changed(memory_.remove(change->region));
  return message.descriptors.empty() ? EINVAL : memory_changed(memory_.add(change->region, message.descriptors[0]));
}

// `error`: what the table said of it.
int Session::memory_changed(int error) {
  if (error == ESTALE) end_ = "its memory is not shared; with QEMU give its memory backend share=on";
  if (error == 0) update_all();
  return error;
}

std::optional<VringState> Session::vring_state(const Message& message) const {
  const auto state = exactly<VringState>(message.payload);
  return state && state->index < queues_.size() ? state : std::nullopt;
}

int Session::set_vring_num(const Message& message) {
  const auto state = vring_state(message);
  if (!state || queues_[state->index].running) return EINVAL;
  if (state->value < 2 || state->value > device_.queue_size(state->index) || !std::has_single_bit(state->value)) {
    return EINVAL;
  }
  queues_[state->index].size = static_cast<uint16_t>(state->value);
  update(state->index);
  return 0;
}

int Session::set_vring_address(const Message& message) {
  const auto address = exactly<VringAddress>(message.payload);
  if (!address || address->index >= queues_.size() || !is_aligned(*address)) return EINVAL;
  stop(address->index);
  queues_[address->index].address = address;
  update(address->index);
  return 0;
}

int Session::set_vring_base(const Message& message) {
  const auto state = vring_state(message);
  if (!state || state->value > UINT16_MAX || queues_[state->index].running) return EINVAL;
  queues_[state->index].base = static_cast<uint16_t>(state->value);
  return 0;
}

// Stops the queue until it gets a doorbell again.
int Session::get_vring_base(const Message& message) {
  const auto state = vring_state(message);
  if (!state) return EINVAL;
  stop(state->index);
  queues_[state->index].kick.reset();
  return answer(VringState{state->index, queues_[state->index].base});
}

int Session::set_vring_descriptor(const Message& message) {
  const auto value = exactly<uint64_t>(message.payload);
  if (!value || (*value & ~(kVringIndexMask | kNoDescriptor)) != 0) return EINVAL;
  const auto index = static_cast<unsigned>(*value & kVringIndexMask);
  const bool none = (*value & kNoDescriptor) != 0;
  if (index >= queues_.size() || none != message.descriptors.empty()) return EINVAL;
  UniqueFd event = none ? UniqueFd() : std::move(message.descriptors[0]);
  switch (message.request) {
    case SET_VRING_CALL: return front_end_.set_call(index, std::move(event));
    case SET_VRING_ERR: return 0;  // what goes wrong is in our log, and in the requests' status
    default: break;
  }
  if (none) return ENOTSUP;  // nobody would look at the ring
  if (!is_eventfd(event.fd())) return EINVAL;
  stop(index);
  queues_[index].kick = std::move(event);
  update(index);
  return 0;
}

int Session::set_vring_enable(const Message& message) {
  const auto state = vring_state(message);
  if (!state || state->value > 1) return EINVAL;
  queues_[state->index].enabled = state->value == 1;
  update(state->index);
  return 0;
}

int Session::get_config(const Message& message) {
  auto rest = message.payload;
  const auto head = beginning<ConfigHead>(rest);
  if (!head || head->size > kMaxConfig || head->offset > kMaxConfig - head->size) return EINVAL;
  answer(*head);
  std::vector<uint8_t> config(kMaxConfig);
  device_.read_config(0, std::span(config).first(device_.config_size()));
  const auto from = config.begin() + head->offset;
  reply_.insert(reply_.end(), from, from + head->size);
  return 0;
}

int Session::set_config(const Message& message) {
  auto data = message.payload;
  const auto head = beginning<ConfigHead>(data);
  const unsigned size = device_.config_size();
  if (!head || data.size() != head->size || head->size > size || head->offset > size - head->size) return EINVAL;
  if (head->flags == 0) device_.write_config(head->offset, data);
  return head->flags <= kConfigMigration ? 0 : EINVAL;
}

std::optional<InflightDescription> Session::inflight_description(const Message& message) const {
  if (message.payload.size() < kInflightBytes) return std::nullopt;
  InflightDescription description{};
  std::memcpy(&description, message.payload.data(), std::min(message.payload.size(), sizeof(description)));
  return description.queues <= queues_.size() ? std::optional(description) : std::nullopt;
}

int Session::get_inflight(const Message& message) {
  auto description = inflight_description(message);
  if (!description) return EINVAL;
  reply_file_ = InflightArea::make_file(description->queues, description->queue_size, *description);
  if (!reply_file_) return errno;
  answer(*description);
  reply_.resize(message.payload.size());
  return 0;
}

int Session::set_inflight(const Message& message) {
  const auto description = inflight_description(message);
  if (!description || message.descriptors.empty()) return EINVAL;
  int error = 0;
  auto area = InflightArea::map(message.descriptors[0], *description, error);
  if (area == nullptr) return error;
  for (unsigned index = 0; index < queues_.size(); index++) stop(index);
  inflight_ = std::move(area);
  update_all();
  return 0;
}

int Session::reset_device() {
  device_.reset();
  for (Queue& queue : queues_) queue = {};
  if (inflight_ != nullptr) inflight_->clear();  // of a queue that was broken it may say otherwise
  return 0;
}

void Session::update_all() {
  for (unsigned index = 0; index < queues_.size(); index++) update(index);
}

void Session::update(unsigned index) {
  const Queue& queue = queues_[index];
  const bool wanted = queue.kick && is_enabled(queue) && queue.size != 0 && queue.address;
  if (wanted && !queue.running) start(index);
  if (!wanted) stop(index);
}

void Session::start(unsigned index) {
  Queue& queue = queues_[index];
  const auto desc = memory_.translate(queue.address->desc), avail = memory_.translate(queue.address->avail),
             used = memory_.translate(queue.address->used);
  const auto map = guest_memory_.map();
  const auto used_ring = used ? map->slice(*used, ring_layout(queue.size).used_bytes) : std::nullopt;
  if (!desc || !avail || !used_ring) {
    const GuestRule rule = memory_.empty() ? GuestRule::kMemoryUnreachable : GuestRule::kRingNotInRam;
    return guest_errors_.record(rule, queue.address->desc);
  }
  QueueSetup setup{.ring = {*desc, *avail, *used},
                   .size = queue.size,
                   .next_avail = queue.base,
                   .next_used = used_ring->load16(kRingIndex, __ATOMIC_ACQUIRE),
                   .used_flags = used_ring->load16(kRingFlags, __ATOMIC_RELAXED),
                   .kick_fd = queue.kick.fd()};
  if (InflightLog* const log = inflight_ != nullptr ? inflight_->log(index, queue.size) : nullptr; log != nullptr) {
    setup.inflight = log;
    setup.taken = log->recover(setup.next_used);
    std::erase_if(setup.taken, [&](uint16_t head) { return head >= queue.size; });
    // What was taken is used or in flight, whatever a front end believes that has lost its server.
    setup.next_avail = static_cast<uint16_t>(setup.next_used + setup.taken.size());
  }
  queue.running = device_.start_queue(index, setup);
}

void Session::stop(unsigned index) {
  Queue& queue = queues_[index];
  if (std::exchange(queue.running, false)) queue.base = device_.stop_queue(index);
}

}  // namespace acrn::vhost_user
