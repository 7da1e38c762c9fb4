// Clauses of the virtqueue: framing, what a hostile chain gets, suppression, index wrap.
#include "acrn/base/concat.h"
#include "dm/tools/check/check.h"

namespace acrn {
namespace {

using Piece = RawGuest::Piece;
constexpr uint32_t kId = VIRTIO_BLK_ID_BYTES;
constexpr std::chrono::milliseconds kSilence{50};  // a queue that says nothing for so long has stopped

// The device still serves a request that needs no medium.
Verdict still_serves(RawGuest& guest) {
  std::byte id[kId];
  const auto outcome = guest.request(VIRTIO_BLK_T_GET_ID, 0, id);
  REQUIRE(outcome.has_value(), "after it, the queue does not serve a good request");
  return holds();
}

// Offers chain 0, which must not be carried out. Its status byte, if it has one, says IOERR; else it does not come back
// and the queue serves again after a reset.
Verdict refused(RawGuest& guest, const Gpa* status, const char* what) {
  guest.offer(0);
  guest.kick();
  // What has to come back may be late on a busy host.
  const auto used = status != nullptr ? guest.next_used() : guest.next_used(kSilence);
  if (used) {
    REQUIRE(status != nullptr, what, ": it came back, though it cannot be told that it failed");
    REQUIRE(guest.byte(*status) == VIRTIO_BLK_S_IOERR, what, ": it came back with status ",
            unsigned{guest.byte(*status)});
    return still_serves(guest);
  }
  REQUIRE(status == nullptr, what, ": the chain did not come back");
  if (auto again = guest.restart(guest.accepted()); !again) return broken(again.error().message);
  return still_serves(guest);
}

Verdict free_framing(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (guest.size() < 8) return skipped("the ring is too small for the chains");
  const Gpa header = guest.header(VIRTIO_BLK_T_GET_ID, 0), data = guest.memory(64), status = guest.status();
  const auto at = [](Gpa gpa, uint64_t offset) { return Gpa{raw(gpa) + offset}; };
  // The header in three parts, and the status behind the data in one descriptor.
  const Piece split[] = {
      {header, 4, false}, {at(header, 4), 8, false}, {at(header, 12), 4, false}, {data, kId + 1, true}};
  auto used = guest.run(split);
  REQUIRE(used && used->len == kId + 1, "a header in three descriptors is not served");
  REQUIRE(guest.byte(at(data, kId)) != RawGuest::kNoStatus, "the status is not the last writable byte");
  // Empty descriptors at every position.
  const Piece empty[] = {{header, 0, false}, {header, 16, false}, {data, 0, true},
                         {data, kId, true},  {status, 1, true},   {status, 0, true}};
  used = guest.run(empty);
  REQUIRE(used && used->len == kId + 1 && guest.byte(status) != RawGuest::kNoStatus,
          "empty descriptors are not skipped");
  return holds();
}

Verdict status_missing(CheckContext& context) {
  RawGuest& guest = context.guest;
  const Piece only_header[] = {{guest.header(VIRTIO_BLK_T_GET_ID, 0), 16, false}};
  guest.chain(0, only_header);
  return refused(guest, nullptr, "no status byte");
}

Verdict loop(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (guest.size() < 4) return skipped("the ring is too small for the chain");
  const Gpa buffer = guest.memory(16);
  guest.set(0, buffer, 16, VRING_DESC_F_NEXT, 1);
  guest.set(1, buffer, 16, VRING_DESC_F_NEXT, 0);
  return refused(guest, nullptr, "a loop of descriptors");
}

Verdict next_out_of_range(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.set(0, guest.memory(16), 16, VRING_DESC_F_NEXT, guest.size());
  return refused(guest, nullptr, "next past the table");
}

Verdict buffers_outside_ram(CheckContext& context) {
  RawGuest& guest = context.guest;
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x8000'0000}, ~uint64_t{0} - 8, uint64_t{1} << 52}) {
    const Gpa status = guest.status();
    const Piece pieces[] = {{Gpa{address}, 16, false}, {status, 1, true}};
    guest.chain(0, pieces);
    if (Verdict verdict = refused(guest, &status, "a buffer outside RAM"); verdict.kind != Verdict::kHolds)
      return verdict;
  }
  return holds();
}

// A table with a GET_ID in it: its length in bytes is 48.
struct IdTable {
  Gpa table, data, status;

  explicit IdTable(RawGuest& guest) : table(guest.memory(64)), data(guest.memory(kId)), status(guest.status()) {
    const auto memory = guest.at(table, 64);
    memory.store(0, VringDesc{raw(guest.header(VIRTIO_BLK_T_GET_ID, 0)), 16u, VRING_DESC_F_NEXT, uint16_t{1}});
    memory.store(16, VringDesc{raw(data), kId, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, uint16_t{2}});
    memory.store(32, VringDesc{raw(status), 1u, VRING_DESC_F_WRITE, uint16_t{0}});
  }
};

Verdict indirect_tables(CheckContext& context) {
  RawGuest& guest = context.guest;
  for (const int flags : {0, int{VRING_DESC_F_WRITE}}) {
    const IdTable good(guest);
    guest.set(0, good.table, 48, static_cast<uint16_t>(VRING_DESC_F_INDIRECT | flags));
    const auto used = guest.run(uint16_t{0});
    REQUIRE(used && used->len == kId + 1 && guest.byte(good.status) == VIRTIO_BLK_S_OK,
            "a good indirect table is not served");
  }
  struct Case {
    const char* what;
    std::optional<uint64_t> address;
    uint32_t length;
    uint16_t flags;
    bool answered;
  };
  const Case cases[] = {{"an empty table", {}, 0, 0, false},
                        {"a table of 24 bytes", {}, 24, 0, false},
                        {"a table of 56 bytes", {}, 56, 0, true},
                        {"a table outside RAM", 0x8000'0000, 48, 0, false},
                        {"a table with NEXT", {}, 48, VRING_DESC_F_NEXT, false}};
  for (const Case& wrong : cases) {
    const IdTable id(guest);
    guest.set(0, wrong.address ? Gpa{*wrong.address} : id.table, wrong.length,
              static_cast<uint16_t>(VRING_DESC_F_INDIRECT | wrong.flags));
    if (Verdict verdict = refused(guest, wrong.answered ? &id.status : nullptr, wrong.what);
        verdict.kind != Verdict::kHolds)
      return verdict;
  }
  const IdTable inner(guest);
  const Gpa outer = guest.memory(16);
  guest.at(outer, 16).store(0, VringDesc{raw(inner.table), 48u, VRING_DESC_F_INDIRECT, uint16_t{0}});
  guest.set(0, outer, 16, VRING_DESC_F_INDIRECT);
  return refused(guest, &inner.status, "a nested table");
}

// The ID scattered over one byte each, and empty descriptors around it, as far as 1024 descriptors go.
Verdict long_table(CheckContext& context) {
  constexpr uint16_t kEntries = 1024;
  RawGuest& guest = context.guest;
  const Gpa table = guest.memory(kEntries * sizeof(VringDesc)), data = guest.memory(kId);
  const Gpa header = guest.header(VIRTIO_BLK_T_GET_ID, 0), status = guest.status();
  const auto memory = guest.at(table, kEntries * sizeof(VringDesc));
  for (uint16_t i = 0; i < kEntries; i++) {
    VringDesc desc{raw(data), 0u, uint16_t{VRING_DESC_F_NEXT | VRING_DESC_F_WRITE}, static_cast<uint16_t>(i + 1)};
    if (i == 0) desc.addr = raw(header), desc.len = 16u, desc.flags = VRING_DESC_F_NEXT;
    if (i > 0 && i <= kId) desc.addr = raw(data) + i - 1, desc.len = 1u;
    if (i == kEntries - 1) desc.addr = raw(status), desc.len = 1u, desc.flags = VRING_DESC_F_WRITE;
    memory.store(sizeof(VringDesc) * i, desc);
  }
  guest.set(0, table, kEntries * sizeof(VringDesc), VRING_DESC_F_INDIRECT);
  const auto used = guest.run(uint16_t{0});
  REQUIRE(used && used->len == kId + 1 && guest.byte(status) == VIRTIO_BLK_S_OK, "a table of ", kEntries,
          " descriptors is not served");
  return holds();
}

Verdict indirect_not_accepted(CheckContext& context) {
  RawGuest& guest = context.guest;
  if (auto again = guest.restart(guest.offered() & ~feature(VIRTIO_RING_F_INDIRECT_DESC)); !again)
    return broken(again.error().message);
  const IdTable id(guest);
  guest.set(0, id.table, 48, VRING_DESC_F_INDIRECT);
  return refused(guest, &id.status, "INDIRECT without the feature");
}

// What makes the ring itself unusable stops the queue, and a reset brings it back.
Verdict unusable_ring(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.ring().write_avail_entry(0, guest.size());
  guest.ring().write_avail_index(1);
  guest.kick();
  REQUIRE(!guest.next_used(kSilence), "a head out of range came back");
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  if (Verdict verdict = still_serves(guest); verdict.kind != Verdict::kHolds) return verdict;
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  guest.ring().write_avail_index(static_cast<uint16_t>(guest.size() + 1));
  guest.kick();
  REQUIRE(!guest.next_used(kSilence), "a jump of avail.idx was served");
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  return still_serves(guest);
}

Verdict kicks_without_ring(CheckContext& context) {
  RawGuest& guest = context.guest;
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  for (const uint32_t queue : {0u, context.options.queues, 0xffffu})
    guest.function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, queue);
  if (auto again = guest.restart(guest.offered()); !again) return broken(again.error().message);
  return still_serves(guest);
}

// More completions than an index counts, with each way of suppression; none may be lost.
Verdict index_wrap(CheckContext& context) {
  for (const bool event_index : {true, false}) {
    DriverOptions options{.interrupts = context.single_msi ? InterruptMode::kMsi : InterruptMode::kMsix,
                          .depth = 32,
                          .max_bytes = 512,
                          .patience = RawGuest::kPatience};
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
      REQUIRE(answered, "after ", done, " requests with", event_index ? "" : "out",
              " the event index no interrupt came");
      queue.kick();
    }
  }
  return holds();
}

constexpr Clause kClauses[] = {
    {"ring.framing", "header, data and status may be split over descriptors or share one", "virtio 1.2 2.7.4",
     free_framing},
    {"ring.no-status", "a chain without a writable byte stops the queue", "device page, 7", status_missing},
    {"ring.loop", "a loop of descriptors stops the queue", "virtio 1.2 2.7.5.2", loop},
    {"ring.next", "a next index past the table stops the queue", "virtio 0.9.5 2.3.2", next_out_of_range},
    {"ring.buffers", "a buffer outside guest RAM is an error", "virtio 0.9.5 2.3.2", buffers_outside_ram},
    {"ring.indirect", "indirect tables are served; malformed ones are not", "virtio 1.2 2.7.5.3", indirect_tables},
    {"ring.long-table", "a table of up to 1024 descriptors is served on any ring", "device page, 7", long_table},
    {"ring.indirect-off", "INDIRECT is an error if the feature was not accepted", "virtio 0.9.5 2.3.3",
     indirect_not_accepted},
    {"ring.unusable", "an unusable ring stops its queue until reset", "device page, 7", unusable_ring},
    {"ring.early-kicks", "kicks without a ring and of no queue are ignored", "device page, 4", kicks_without_ring},
    {"ring.wrap", "no kick and no interrupt is lost when indices wrap", "virtio 0.9.5 2.4.2", index_wrap},
};

}  // namespace

std::span<const Clause> ring_clauses() { return kClauses; }

}  // namespace acrn
