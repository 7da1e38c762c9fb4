// Clauses of the virtqueue: framing, what a hostile chain gets, suppression, index wrap.
#include "acrn/base/concat.h"
#include "dm/tools/check.h"

namespace acrn {
namespace {

using Piece = RawGuest::Piece;
constexpr uint32_t kId = VIRTIO_BLK_ID_BYTES;

// The device still serves a request that needs no medium.
Verdict still_serves(RawGuest& guest) {
  std::byte id[kId];
  const auto outcome = guest.request(VIRTIO_BLK_T_GET_ID, 0, id);
  REQUIRE(outcome.has_value(), "after it, the queue does not serve a good request");
  return holds();
}

Verdict refused(RawGuest& guest, const std::optional<VringUsedElem>& used, const char* what) {
  REQUIRE(used.has_value(), what, ": the chain did not come back");
  REQUIRE(used->len == 0, what, ": it came back with length ", uint32_t{used->len}, ", not 0");
  return still_serves(guest);
}

Verdict free_framing(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (guest.size() < 8) return skipped("the ring is too small for the chains");
  if (!context.has_disk()) return skipped("there is no disk");
  const Gpa header = guest.header(VIRTIO_BLK_T_GET_ID, 0), data = guest.memory(64), status = guest.status();
  const auto at = [](Gpa gpa, uint64_t offset) { return Gpa{raw(gpa) + offset}; };
  // The header in three parts, and the status behind the data in one descriptor.
  const Piece split[] = {{header, 4, false}, {at(header, 4), 8, false}, {at(header, 12), 4, false}, {data, kId + 1, true}};
  auto used = guest.run(split);
  REQUIRE(used && used->len == kId + 1, "a header in three descriptors is not served");
  REQUIRE(guest.byte(at(data, kId)) != RawGuest::kNoStatus, "the status is not the last writable byte");
  // Empty descriptors at every position.
  const Piece empty[] = {{header, 0, false}, {header, 16, false}, {data, 0, true}, {data, kId, true}, {status, 1, true}, {status, 0, true}};
  used = guest.run(empty);
  REQUIRE(used && used->len == kId + 1 && guest.byte(status) != RawGuest::kNoStatus, "empty descriptors are not skipped");
  return holds();
}

Verdict status_missing(CheckContext& context) {
  RawGuest& guest = context.guest;
  const Piece only_header[] = {{guest.header(VIRTIO_BLK_T_GET_ID, 0), 16, false}};
  return refused(guest, guest.run(only_header), "no status byte");
}

Verdict loop(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (guest.size() < 4) return skipped("the ring is too small for the chain");
  const Gpa buffer = guest.memory(16);
  guest.set(0, buffer, 16, VRING_DESC_F_NEXT, 1);
  guest.set(1, buffer, 16, VRING_DESC_F_NEXT, 0);
  return refused(guest, guest.run(uint16_t{0}), "a loop of descriptors");
}

Verdict next_out_of_range(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.set(0, guest.memory(16), 16, VRING_DESC_F_NEXT, guest.size());
  return refused(guest, guest.run(uint16_t{0}), "next past the table");
}

Verdict buffers_outside_ram(CheckContext& context) {
  RawGuest& guest = context.guest;
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x8000'0000}, ~uint64_t{0} - 8, uint64_t{1} << 52}) {
    const Piece pieces[] = {{Gpa{address}, 16, false}, {guest.status(), 1, true}};
    if (Verdict verdict = refused(guest, guest.run(pieces), "a buffer outside RAM"); verdict.kind != Verdict::kHolds) return verdict;
  }
  return holds();
}

Verdict indirect_tables(CheckContext& context) {
  RawGuest& guest = context.guest;
  const Gpa table = guest.memory(64), header = guest.header(VIRTIO_BLK_T_GET_ID, 0), status = guest.status();
  const auto memory = guest.at(table, 64);
  memory.store(0, VringDesc{raw(header), 16u, VRING_DESC_F_NEXT, uint16_t{1}});
  memory.store(16, VringDesc{raw(status), 1u, VRING_DESC_F_WRITE, uint16_t{0}});
  guest.set(0, table, 32, VRING_DESC_F_INDIRECT);
  const auto good = guest.run(uint16_t{0});
  REQUIRE(good && good->len == 1, "a good indirect table is not served");

  struct Case {
    const char* what;
    Gpa address;
    uint32_t length;
    uint16_t flags;
  };
  const uint32_t too_long = static_cast<uint32_t>(sizeof(VringDesc)) * (guest.size() + 1u);
  const Case cases[] = {{"an empty table", table, 0, 0},
                        {"a table of 24 bytes", table, 24, 0},
                        {"a table longer than the ring", table, too_long, 0},
                        {"a table outside RAM", Gpa{0x8000'0000}, 32, 0},
                        {"a table with NEXT", table, 32, VRING_DESC_F_NEXT},
                        {"a table with WRITE", table, 32, VRING_DESC_F_WRITE}};
  for (const Case& wrong : cases) {
    guest.set(0, wrong.address, wrong.length, static_cast<uint16_t>(VRING_DESC_F_INDIRECT | wrong.flags));
    if (Verdict verdict = refused(guest, guest.run(uint16_t{0}), wrong.what); verdict.kind != Verdict::kHolds) return verdict;
  }
  memory.store(0, VringDesc{raw(table), 32u, VRING_DESC_F_INDIRECT, uint16_t{0}});
  guest.set(0, table, 32, VRING_DESC_F_INDIRECT);
  return refused(guest, guest.run(uint16_t{0}), "a nested table");
}

Verdict indirect_not_accepted(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (auto again = guest.restart(guest.offered() & ~feature(VIRTIO_RING_F_INDIRECT_DESC)); !again) return broken(again.error().message);
  guest.set(0, guest.memory(32), 32, VRING_DESC_F_INDIRECT);
  return refused(guest, guest.run(uint16_t{0}), "INDIRECT without the feature");
}

// What makes the ring itself unusable stops the queue, and a reset brings it back.
Verdict unusable_ring(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.ring().write_avail_entry(0, guest.size());
  guest.ring().write_avail_index(1);
  guest.kick();
  REQUIRE(!guest.next_used(std::chrono::milliseconds(50)), "a head out of range came back");
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  if (Verdict verdict = still_serves(guest); verdict.kind != Verdict::kHolds) return verdict;
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  guest.ring().write_avail_index(static_cast<uint16_t>(guest.size() + 1));
  guest.kick();
  REQUIRE(!guest.next_used(std::chrono::milliseconds(50)), "a jump of avail.idx was served");
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  return still_serves(guest);
}

Verdict kicks_without_ring(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  for (const uint32_t queue : {0u, context.options.queues, 0xffffu}) guest.function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, queue);
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  return still_serves(guest);
}

// More completions than an index counts, with each way of suppression; none may be lost.
Verdict index_wrap(CheckContext& context) {
  for (const bool event_index : {true, false}) {
    DriverOptions options{.interrupts = context.single_msi ? InterruptMode::kMsi : InterruptMode::kMsix,
                          .depth = 32, .max_bytes = 512, .patience = RawGuest::kPatience};
    if (!event_index) options.features &= ~feature(VIRTIO_RING_F_EVENT_IDX);
    auto driver = LegacyDriver::start(context.guest.machine(), context.address, options);
    REQUIRE(driver.ok(), driver.error().message);
    DriverQueue& queue = driver.value()->queue(0);
    constexpr uint32_t kRequests = 70'000;
    uint32_t started = 0, done = 0;
    for (uint16_t tag = 0; tag < queue.depth(); tag++, started++) queue.start(tag, VIRTIO_BLK_T_GET_ID, 0, kId, false);
    queue.kick();
    while (done < kRequests) {
      const bool answered = queue.reap([&](const DriverCompletion& completion) {
        done++;
        if (started < kRequests) queue.start(completion.tag, VIRTIO_BLK_T_GET_ID, 0, kId, false), started++;
      });
      REQUIRE(answered, "after ", done, " requests with", event_index ? "" : "out", " the event index no interrupt came");
      queue.kick();
    }
  }
  return holds();
}

constexpr Clause kClauses[] = {
    {"ring.framing", "header, data and status may be split over descriptors or share one", "virtio 1.2 2.7.4", free_framing},
    {"ring.no-status", "a chain without a writable byte comes back with length 0", "device page, 7", status_missing},
    {"ring.loop", "a loop is walked at most ring-size steps and comes back", "virtio 1.2 2.7.5.2", loop},
    {"ring.next", "a next index past the table is refused", "virtio 0.9.5 2.3.2", next_out_of_range},
    {"ring.buffers", "a buffer outside guest RAM is refused", "virtio 0.9.5 2.3.2", buffers_outside_ram},
    {"ring.indirect", "indirect tables are served; malformed ones are refused", "virtio 1.2 2.7.5.3", indirect_tables},
    {"ring.indirect-off", "INDIRECT is refused if the feature was not accepted", "virtio 0.9.5 2.3.3", indirect_not_accepted},
    {"ring.unusable", "an unusable ring stops its queue until reset", "device page, 7", unusable_ring},
    {"ring.early-kicks", "kicks without a ring and of no queue are ignored", "device page, 4", kicks_without_ring},
    {"ring.wrap", "no kick and no interrupt is lost when indices wrap", "virtio 0.9.5 2.4.2", index_wrap},
};

}  // namespace

std::span<const Clause> ring_clauses() { return kClauses; }

}  // namespace acrn
