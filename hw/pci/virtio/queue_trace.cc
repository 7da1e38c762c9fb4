#include "hw/pci/virtio/queue_trace.h"

#include <algorithm>

#include "hw/pci/virtio/virtqueue.h"

namespace acrn {
namespace {

TraceRecord record(TraceEvent event, uint8_t detail, uint16_t head, uint16_t number, uint64_t time) {
  return {.bytes = {},
          .event = static_cast<uint8_t>(event),
          .detail = detail,
          .head = head,
          .number = number,
          .time = time};
}

uint64_t now() { return TraceRing::nanoseconds(std::chrono::steady_clock::now()); }

}  // namespace

QueueTrace::QueueTrace(DeviceTrace& trace, unsigned index) : trace_(trace), ring_(trace.queue(index)) {
  static_assert(kDescriptors > ChainBuffers::kMaxTable);
}

void QueueTrace::turn(TraceCause cause, Time time, unsigned waiting, uint16_t next) {
  ring_.write(record(TraceEvent::kTurn, static_cast<uint8_t>(cause), static_cast<uint16_t>(waiting), next,
                     ring_.nanoseconds(time)));
}

void QueueTrace::begin_chain(uint16_t head) {
  head_ = head;
  reading_ = true;
  count_ = errors_ = 0;
}

void QueueTrace::end_chain(Time time, Time waiting_since, uint16_t avail_index, uint8_t flags,
                           const VirtioBlkOuthdr* header) {
  TraceChain chain{};
  chain.waiting_since = ring_.nanoseconds(waiting_since);
  chain.avail_index = avail_index;
  if (header != nullptr) {
    flags |= TraceChain::kHasHeader;
    chain.type = header->type;
    chain.sector = header->sector;
  }
  ring_.write(record(TraceEvent::kChain, flags, head_, static_cast<uint16_t>(count_), ring_.nanoseconds(time)), chain,
              std::span<const VringDesc>(descriptors_.data(), count_));
  reading_ = false;
  for (size_t i = 0; i < errors_; i++) write_error(errors_of_chain_[i]);
}

void QueueTrace::error(GuestRule rule, uint64_t detail) {
  if (!reading_) return write_error({rule, detail});
  if (errors_ < errors_of_chain_.size()) errors_of_chain_[errors_++] = {rule, detail};
}

void QueueTrace::write_error(const Error& error) {
  ring_.write(record(TraceEvent::kGuestError, static_cast<uint8_t>(error.rule), head_, 0, now()),
              trace_name(error.rule, error.detail));
}

void QueueTrace::submit(Time time, const BlockRequest& request, uint16_t head, size_t segment) {
  const auto op = static_cast<uint8_t>(static_cast<uint8_t>(request.op) | (request.stable ? kTraceStable : 0));
  ring_.write(record(TraceEvent::kSubmit, op, head, static_cast<uint16_t>(segment), ring_.nanoseconds(time)),
              TraceExtent{request.offset, request.length});
}

void QueueTrace::failed(const BlockRequest& request, uint16_t head) {
  ring_.write(
      record(TraceEvent::kFailed, static_cast<uint8_t>(request.op), head, static_cast<uint16_t>(request.error), now()));
}

void QueueTrace::held(uint16_t head) { ring_.write(record(TraceEvent::kHeld, 0, head, 0, now())); }

// When it was done the driver sees at publish(), and so does a reader of the trace.
void QueueTrace::used(uint16_t head, uint8_t status, uint32_t written) {
  ring_.write(record(TraceEvent::kUsed, status, head, 0, 0), TraceValue{written, 0});
}

void QueueTrace::publish(Time time, uint16_t used_index) {
  ring_.write(record(TraceEvent::kPublish, 0, used_index, 0, ring_.nanoseconds(time)));
}

void QueueTrace::interrupt(Time time, bool sent, uint16_t used_index) {
  ring_.write(record(TraceEvent::kInterrupt, sent ? 1 : 0, used_index, 0, ring_.nanoseconds(time)));
}

}  // namespace acrn
