#include "dm/tools/coach/habits.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "acrn/base/concat.h"
#include "dm/tools/monitor/cells.h"

namespace acrn {
namespace {

constexpr double kSeveral = 4;  // requests in flight

double part(uint64_t some, uint64_t all) { return all == 0 ? 0 : static_cast<double>(some) / static_cast<double>(all); }

std::string percent(double part) { return fmt::format("{:.0f} %", 100 * part); }

// What is counted in one pass over the trace.
struct Habits {
  explicit Habits(const Trace& of) : trace(of) {
    for (const TraceItem& item : trace.items()) count(item);
    for (const TracedRequest& request : trace.requests()) count(request);
    elapsed = last - first;
  }

  bool accepted(unsigned bit) const { return (features & feature(bit)) != 0; }
  bool offered(unsigned bit) const { return (trace.header().features & feature(bit)) != 0; }
  // On average, while there was any.
  double in_flight() const { return part(time_in_flight, busy); }

  const Trace& trace;
  uint64_t features = 0;
  uint64_t kicks = 0, empty_kicks = 0, sent = 0;
  uint64_t chains = 0, long_chains = 0, descriptors = 0;
  std::map<uint16_t, uint64_t> queues;  // chains of each
  uint64_t reads = 0, writes = 0, stable_writes = 0, flushes = 0, lone_flushes = 0;
  uint64_t flush_time = 0, write_time = 0;
  uint64_t unaligned = 0, unaligned_time = 0, aligned = 0, aligned_time = 0;
  uint64_t adjacent = 0;  // requests that go on where the last one of their queue ends, at most 16 KiB
  uint64_t first = ~uint64_t{0}, last = 0, elapsed = 0, busy = 0, time_in_flight = 0;

 private:
  void count(const TraceItem& item) {
    switch (item.event()) {
      case TraceEvent::kFeatures: features = item.body<TraceValue>().value; break;
      case TraceEvent::kTurn:
        if (item.record->detail <= static_cast<uint8_t>(TraceCause::kKickInline)) {
          kicks++;
          if (item.record->head == 0) empty_kicks++;
        }
        break;
      case TraceEvent::kInterrupt: sent += item.record->detail; break;
      case TraceEvent::kChain:
        if ((item.record->detail & TraceChain::kRetried) == 0) count_chain(item);
        break;
      case TraceEvent::kUsed: change(item.time, -1); break;
      default: break;
    }
  }

  void count_chain(const TraceItem& item) {
    change(trace.requests()[item.request].waiting_since, +1);
    chains++;
    queues[item.source]++;
    const auto all = item.descriptors();
    const bool indirect =
        std::any_of(all.begin(), all.end(), [](const VringDesc& d) { return (d.flags & VRING_DESC_F_INDIRECT) != 0; });
    descriptors += all.size();
    if (!indirect && all.size() > 8) long_chains++;
  }

  // The time that requests were in flight.
  void change(uint64_t time, int by) {
    first = std::min(first, time);
    if (time > last && last != 0) {
      if (now != 0) busy += time - last;
      time_in_flight += (time - last) * now;
    }
    last = std::max(last, time);
    if (by > 0 || now > 0) now = static_cast<uint64_t>(static_cast<int64_t>(now) + by);
  }

  void count(const TracedRequest& request) {
    if (!request.has_header || request.done == 0) return;
    const uint64_t time = request.done - request.waiting_since;
    const bool read = request.type == VIRTIO_BLK_T_IN, write = request.type == VIRTIO_BLK_T_OUT;
    if (request.type == VIRTIO_BLK_T_FLUSH) {
      flushes++;
      flush_time += time;
      if (was_write[request.queue]) lone_flushes++;
    }
    was_write[request.queue] = write;
    if (write) {
      writes++;
      write_time += time;
      if (request.stable) stable_writes++;
    }
    if (read) reads++;
    if (!read && !write) return;
    const uint32_t block = trace.header().physical_block;
    const uint64_t begin = request.sector * VIRTIO_BLK_SECTOR_SIZE;
    const bool good = block == 0 || (begin % block == 0 && request.bytes % block == 0);
    (good ? aligned : unaligned)++;
    (good ? aligned_time : unaligned_time) += time;
    auto& end = ends[request.queue];
    if (end == begin && request.bytes <= (16 << 10)) adjacent++;
    end = begin + request.bytes;
  }

  uint64_t now = 0;  // in flight
  std::map<uint16_t, bool> was_write;
  std::map<uint16_t, uint64_t> ends;
};

Advice slow(std::string name, std::string seen, std::string rule, std::string source, std::string remedy) {
  return {.kind = Advice::Kind::kSlow,
          .name = std::move(name),
          .seen = std::move(seen),
          .rule = std::move(rule),
          .source = std::move(source),
          .cause = {},
          .remedy = std::move(remedy)};
}

void add_interrupts(const Habits& habits, std::vector<Advice>& all) {
  if (habits.in_flight() < kSeveral || part(habits.sent, habits.chains) < 0.8) return;
  all.push_back(slow(
      "interrupt-for-each-request",
      fmt::format("{} interrupts for {} requests, though {:.1f} are in flight on average; one for all that is done "
                  "would be {}",
                  habits.sent, habits.chains, habits.in_flight(),
                  static_cast<uint64_t>(static_cast<double>(habits.chains) / habits.in_flight())),
      "with EVENT_IDX the driver says at which used entry it wants the next interrupt; without, NO_INTERRUPT says that "
      "it wants none",
      "virtio 0.9.5 2.4.2",
      "While used entries are handled want none; when there is no more, want the next, and look once more."));
}

void add_kicks(const Habits& habits, std::vector<Advice>& all) {
  if (part(habits.empty_kicks, habits.kicks) < 0.5) return;
  all.push_back(slow(
      "kicks-not-wanted",
      fmt::format("{} of {} kicks found nothing: the device had seen the chains already. Each is an exit "
                  "of the virtual CPU",
                  habits.empty_kicks, habits.kicks),
      "used.flags NO_NOTIFY, or with EVENT_IDX avail_event, says that the device wants no kick", "virtio 0.9.5 2.4.1.4",
      "After avail.idx and a full barrier look at used.flags (or avail_event) and kick only if it says "
      "so."));
}

void add_one_at_a_time(const Habits& habits, std::vector<Advice>& all) {
  if (habits.in_flight() > 1.1) return;
  all.push_back(
      slow("one-at-a-time",
           fmt::format("{:.2f} requests in flight on average; the disk had nothing to do for {} of the time",
                       habits.in_flight(), percent(1 - part(habits.busy, habits.elapsed))),
           "a ring holds as many requests as fit, and a device answers them in any order", "virtio 0.9.5 2.3",
           "Start the next request before the last one has come back; the used entry's id says which it is."));
}

void add_chains(const Habits& habits, std::vector<Advice>& all) {
  if (part(habits.long_chains, habits.chains) < 0.5 || !habits.offered(VIRTIO_RING_F_INDIRECT_DESC)) return;
  all.push_back(
      slow("long-chains-in-the-ring",
           fmt::format(
               "{} of {} chains have more than 8 descriptors in the ring itself, {:.1f} on average: "
               "a ring of {} holds {} of them",
               habits.long_chains, habits.chains,
               static_cast<double>(habits.descriptors) / static_cast<double>(habits.chains),
               uint32_t{habits.trace.header().queue_size},
               uint32_t{habits.trace.header().queue_size} * habits.chains / std::max<uint64_t>(habits.descriptors, 1)),
           "with INDIRECT_DESC a chain takes one descriptor of the ring, and its table is memory of the driver",
           "virtio 0.9.5 2.3.3", "Accept INDIRECT_DESC, or put neighbouring pages into one descriptor."));
}

void add_flushes(const Habits& habits, std::vector<Advice>& all) {
  if (habits.flushes < kEnoughForHabits || part(habits.lone_flushes, habits.writes) < 0.5) return;
  all.push_back(slow("flush-after-each-write",
                     fmt::format("{} flushes for {} writes; a flush takes {} and a write {}", habits.flushes,
                                 habits.writes, short_time(part(habits.flush_time, habits.flushes)),
                                 short_time(part(habits.write_time, habits.writes))),
                     "a flush makes all stable that was done before it", "virtio 1.2 5.2.6.2",
                     "Write what belongs together, and flush once; or turn the cache off by CONFIG_WCE, if each write "
                     "is to be stable."));
}

void add_stable(const Habits& habits, std::vector<Advice>& all) {
  const bool can_flush = habits.accepted(VIRTIO_BLK_F_FLUSH) || !habits.offered(VIRTIO_BLK_F_FLUSH);
  if (habits.stable_writes < kEnoughForHabits || can_flush) return;
  all.push_back(slow("no-flush-accepted",
                     fmt::format("{} writes, each made stable before it was done: {} on average", habits.stable_writes,
                                 short_time(part(habits.write_time, habits.writes))),
                     "without FLUSH a driver cannot say what must be stable, so all is", "virtio 1.2 5.2.6.2",
                     "Accept VIRTIO_BLK_F_FLUSH, and flush where the file system says so."));
}

void add_alignment(const Habits& habits, std::vector<Advice>& all) {
  if (habits.unaligned < kEnoughForHabits || part(habits.unaligned, habits.unaligned + habits.aligned) < 0.1) return;
  const uint32_t block = habits.trace.header().physical_block;
  std::string seen =
      fmt::format("{} of {} requests begin or end inside a block of {} bytes: {} each", habits.unaligned,
                  habits.unaligned + habits.aligned, block, short_time(part(habits.unaligned_time, habits.unaligned)));
  if (habits.aligned != 0) seen += concat(", the others ", short_time(part(habits.aligned_time, habits.aligned)));
  all.push_back(slow("unaligned", std::move(seen),
                     "TOPOLOGY says how large a block of the disk is, and where the first one begins",
                     "virtio 1.2 5.2.5",
                     "Align partitions and requests to physical_block_exp; a part of a block is read before it is "
                     "written."));
}

void add_small(const Habits& habits, std::vector<Advice>& all) {
  const uint64_t requests = habits.reads + habits.writes;
  if (habits.adjacent < kEnoughForHabits || part(habits.adjacent, requests) < 0.8) return;
  all.push_back(slow("small-and-adjacent",
                     fmt::format("{} of {} requests are of 16 KiB at most and go on where the last one ended",
                                 habits.adjacent, requests),
                     "a request may have as many segments as seg_max says", "virtio 1.2 5.2.4",
                     "Join neighbours into one request: one header, one status, one interrupt."));
}

void add_queues(const Habits& habits, std::vector<Advice>& all) {
  const uint32_t queues = habits.trace.header().queues;
  if (queues < 2 || habits.queues.size() != 1) return;
  all.push_back(slow(
      "one-queue-of-several",
      fmt::format("all {} requests went through queue {}, of {}", habits.chains, habits.queues.begin()->first, queues),
      "with MQ each processor may have a queue, and no lock with others", "virtio 1.2 5.2.2",
      "Accept VIRTIO_BLK_F_MQ, and set up num_queues queues."));
}

}  // namespace

void add_habits(const Trace& trace, std::vector<Advice>& all) {
  const Habits habits(trace);
  if (habits.chains < kEnoughForHabits) return;
  for (const auto add : {add_one_at_a_time, add_flushes, add_stable, add_interrupts, add_kicks, add_chains,
                         add_alignment, add_small, add_queues}) {
    add(habits, all);
  }
}

}  // namespace acrn
