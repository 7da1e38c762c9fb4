// A second CPU that rewrites what the device reads, storms of kicks and of malformed requests (rows Q6, Q12,
// B22, B23). Clean under ThreadSanitizer: guest memory is written as a guest does, by atomics.
#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "dm/base/log_setup.h"
#include "tests/conformance/spoiled_chain.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint16_t kNext = VRING_DESC_F_NEXT, kWrite = VRING_DESC_F_WRITE, kIndirect = VRING_DESC_F_INDIRECT;
constexpr uint64_t kCapacity = 4 * kMiB / kSector;

// What the second CPU plays with: header, data, status, and a table of three descriptors over them.
class Playground {
 public:
  Playground(RawGuest& guest, bool indirect)
      : guest_(guest),
        indirect_(indirect),
        header_(guest, 16),
        data_(guest, 4096),
        status_(guest, 2),
        table_(guest.memory(64 * sizeof(VringDesc))) {
    if (indirect_) guest_.set(0, table_, 3 * sizeof(VringDesc), kIndirect);
    for (unsigned i = 0; i < 100; i++) rewrite();
  }
  void rewrite() {
    rewrite_header();
    rewrite_descriptor(pick<uint16_t>({0, 1, 2}));
    if (indirect_ && random(16) == 0) {
      guest_.set(0, table_, pick<uint32_t>({48, 48, 48, 32, 16, 0, 17, 1024, 1040}),
                 pick<uint16_t>({kIndirect, kIndirect, kIndirect, kIndirect | kWrite, kIndirect | kNext}));
    }
  }
  bool surroundings_intact() const {
    return header_.canaries_intact() && data_.canaries_intact() && status_.canaries_intact();
  }

 private:
  uint32_t random(uint32_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33) % below;
  }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[random(static_cast<uint32_t>(values.size()))];
  }
  void rewrite_header() {
    const VirtioBlkOuthdr header{
        pick<uint32_t>({VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, 99}), uint32_t{0},
        pick<uint64_t>({0, 8, kCapacity - 8, kCapacity, ~uint64_t{0}})};
    guest_.at(header_.gpa(), 16).store(0, header);
  }
  // The lengths are such that no whole number of sectors ever comes out with the header as data: only the
  // device's own accesses to it, which are atomic, race with ours.
  void rewrite_descriptor(uint16_t index) {
    VringDesc desc{};
    const Guarded& part = index == 0 ? header_ : index == 1 ? data_ : status_;
    desc.addr = pick<uint64_t>({raw(part.gpa()), raw(part.gpa()), raw(part.gpa()), 0, ~uint64_t{0}});
    if (index == 0) desc.len = pick<uint32_t>({16, 16, 16, 8, 0});
    if (index == 1) desc.len = pick<uint32_t>({512, 1024, 4096, 4096, 511, 0, 0xffffffff});
    if (index == 2) desc.len = pick<uint32_t>({1, 1, 1, 2, 0});
    const auto usual = static_cast<uint16_t>(index == 0 ? kNext : index == 1 ? kNext | kWrite : kWrite);
    desc.flags = pick<uint16_t>({usual, usual, usual, usual, 0, kNext, kWrite, kNext | kWrite, kIndirect, 0xffff});
    const auto following = static_cast<uint16_t>(index + 1);
    desc.next = pick<uint16_t>({following, following, following, 0, 2, 63, 64, 0xffff});
    if (indirect_) {
      guest_.at(Gpa{raw(table_) + sizeof(VringDesc) * index}, sizeof(VringDesc)).store(0, desc);
    } else {
      guest_.ring().write_desc(index, desc);
    }
  }

  RawGuest guest_;
  const bool indirect_;
  uint64_t state_ = 1;
  Guarded header_, data_, status_;
  Gpa table_;
};

// Head 0, until it comes back or has stopped the queue, which then gets another life. True: it came back.
bool run_or_restart(DeviceFixture& bench, RawGuest& guest) {
  const auto before = guest.ring().used_index();
  guest.offer(0);
  guest.kick();
  EXPECT(wait_until([&] { return guest.ring().used_index() != before || bench.device().stats(0).stopped; }));
  if (guest.ring().used_index() != before) return uint32_t{guest.next_used()->id} == 0;
  guest.restart_queue();
  return false;
}

void check_rewriting(bool indirect) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  Playground playground(guest, indirect);
  std::atomic<bool> stop{false};
  std::thread second_cpu([&] {
    while (!stop) playground.rewrite();
  });
  // On, until both have happened: on a busy host the second CPU may rest for long.
  unsigned tried = 0, returned = 0;
  for (; tried < 20000 || returned == 0 || returned == tried; tried++) returned += run_or_restart(bench, guest) ? 1 : 0;
  stop = true;
  second_cpu.join();
  EXPECT_EQ(returned + bench.device().stats(0).stops, uint64_t{tried});
  EXPECT(playground.surroundings_intact());
  EXPECT(bench.disk().untouched(16 * kSector, (kCapacity - 8) * kSector));
  for (const auto& seen : bench.disk().take_seen()) {
    EXPECT(seen.offset <= kCapacity * kSector && seen.length <= kCapacity * kSector - seen.offset);
    EXPECT(seen.length <= 4096);
  }
  expect_serves(guest);
}

// COVERS(Q6): memory rewritten during processing
TEST(one_copy_of_a_descriptor_and_of_a_header_decides_everything) { check_rewriting(false); }

// COVERS(Q6): memory rewritten during processing
TEST(one_copy_of_an_indirect_table_decides_everything) { check_rewriting(true); }

// COVERS(Q6): memory rewritten during processing
TEST(an_available_ring_rewritten_while_it_is_read_breaks_the_queue_or_serves_it) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (int round = 0; round < 20; round++) {
    for (uint16_t head = 0; head < 64; head++) ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector);
    RawGuest other = guest;
    std::thread second_cpu([&] {
      for (uint16_t i = 0; i < 2000; i++) {
        const auto head = static_cast<uint16_t>(i % 7 == 0 ? 0xffff : i % 64);
        other.ring().write_avail_entry(i % 64, head);
        other.ring().write_avail_index(static_cast<uint16_t>(i % 50 == 49 ? 0x9000 : other.ring().avail_index() + 1));
        other.kick();
      }
    });
    second_cpu.join();
    bench.settle();
    expect_serves_after_restart(guest);
  }
}

// A million kicks from four CPUs until `done` is over; half of them at a queue that does not exist.
template <class Meanwhile>
void storm_of_kicks(RawGuest& guest, Meanwhile meanwhile) {
  std::vector<std::thread> cpus;
  for (unsigned cpu = 0; cpu < 4; cpu++) {
    cpus.emplace_back([function = guest.function(), cpu] {
      for (int i = 0; i < 250'000; i++) function.out(VIRTIO_PCI_QUEUE_NOTIFY, 2, cpu % 2 == 0 ? 0 : 7 * cpu);
    });
  }
  std::string failure;
  try {
    meanwhile();
  } catch (const Failure& failed) {
    failure = failed.where + ": " + failed.what;
  }
  for (std::thread& cpu : cpus) cpu.join();
  EXPECT_EQ(failure, std::string());
}

// COVERS(Q12): kicks too early; a million kicks
TEST(a_million_kicks_leave_requests_registers_and_control_calls_working) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  storm_of_kicks(guest, [&] {
    for (int i = 0; i < 50; i++) {
      expect_serves(guest);
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_NUM, 2), 64u);
      EXPECT_EQ(must(bench.device().resize()), 4 * kMiB);
    }
  });
  EXPECT_EQ(bench.guest_errors(GuestRule::kNotifyUnknownQueue), 500'000u);
  expect_serves(guest);
}

// COVERS(Q12): kicks too early; a million kicks
TEST(a_million_kicks_while_the_device_is_reset_and_set_up_again) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  storm_of_kicks(guest, [&] {
    for (int i = 0; i < 50; i++) expect_serves_after_restart(guest);
  });
  expect_serves(guest);
}

TEST(a_million_kicks_before_the_ring_is_set) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  storm_of_kicks(guest, [] {});
  bench.settle();
  EXPECT(bench.guest_errors(GuestRule::kKickBeforeRing) > 0);
  expect_serves_after_restart(guest);
}

TEST(a_queue_that_never_pauses_does_not_starve_its_neighbour) {
  DeviceFixture bench({.device = {.queues = 2}});
  const auto driver = bench.driver();
  constexpr uint64_t kEndless = 7 * kSector;
  DriverRing& ring = driver->queue(1).ring();
  std::atomic<bool> stop{false};
  bench.disk().set_hook([&](const BlockRequest& request) {
    if (request.op != BlockOp::kRead || request.offset != kEndless || stop) return;
    const uint16_t index = ring.avail_index();
    ring.write_avail_entry(index & (ring.size() - 1), 0);
    ring.write_avail_index(static_cast<uint16_t>(index + 1));
  });
  driver->queue(1).start(0, VIRTIO_BLK_T_IN, 7, kSector, false);
  driver->queue(1).kick();
  for (int i = 0; i < 50; i++) EXPECT_EQ(must(driver->flush()), VIRTIO_BLK_S_OK);
  stop = true;
  bench.settle();
}

// A chain of each kind that can be answered at heads 0..63; returns how many kinds there are.
unsigned write_malformed_chains(RawGuest& guest) {
  const Gpa header = guest.header(VIRTIO_BLK_T_IN, kCapacity + 1), unknown = guest.header(99, 0),
            status = guest.memory(1);
  const VringDesc state{raw(status), uint32_t{1}, kWrite, uint16_t{0}};
  const auto table = [&](std::initializer_list<VringDesc> entries) {
    const auto bytes = static_cast<uint32_t>(entries.size() * sizeof(VringDesc));
    const Gpa gpa = guest.memory(bytes);
    guest.at(gpa, bytes).copy_in(0, entries.begin(), bytes);
    return std::pair(gpa, bytes);
  };
  const auto chain = [&](Gpa first, uint32_t length) {
    return table({{raw(first), length, kNext, uint16_t{1}}, state});
  };
  const auto [inner, inner_bytes] = table({state});
  const std::pair<Gpa, uint32_t> kinds[] = {
      chain(header, 16),   // past the end
      chain(unknown, 16),  // of no known type
      chain(Gpa{0}, 16),   // outside RAM
      chain(header, 8),    // half a header
      table({{raw(header), uint32_t{16}, kNext, uint16_t{1}}, {raw(inner), inner_bytes, kIndirect, uint16_t{0}}}),
      table({state}),  // no header
      table({{raw(header), uint32_t{16}, kNext, uint16_t{1}},
             {raw(status), uint32_t{1}, kNext | kWrite, uint16_t{2}},
             {raw(header), uint32_t{16}, kNext, uint16_t{3}},
             state}),
  };
  constexpr auto kKinds = static_cast<unsigned>(std::size(kinds));
  for (uint16_t head = 0; head < 64; head++)
    guest.set(head, kinds[head % kKinds].first, kinds[head % kKinds].second, kIndirect);
  return kKinds;
}

size_t lines_of(const std::string& path) {
  std::ifstream file(path);
  size_t lines = 0;
  for (std::string line; std::getline(file, line);) lines++;
  return lines;
}

// COVERS(B22): a million malformed requests
TEST(a_million_malformed_requests_are_returned_counted_and_logged_a_few_times) {
  TempDir directory;
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  must(setup_logging({.console = 1, .disk = 2}, directory.path("log")));
  guest.ring().write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
  const unsigned kinds = write_malformed_chains(guest) - 1;  // two of them break the same rule
  for (uint16_t head = 0; head < 64; head++) guest.ring().write_avail_entry(head, head);
  for (unsigned done = 64; done <= 1'000'000; done += 64) {
    guest.ring().write_avail_index(static_cast<uint16_t>(done));
    guest.kick();
    EXPECT(wait_until([&] { return guest.ring().used_index() == static_cast<uint16_t>(done); }));
    if (done % 64'000 == 0) must(bench.device().resize());  // what the control socket does
  }
  bench.settle();
  must(setup_logging({.console = 1}, ""));
  uint64_t counted = 0;
  for (size_t rule = 0; rule < kGuestRules; rule++) counted += bench.guest_errors(static_cast<GuestRule>(rule));
  EXPECT_EQ(counted, 1'000'000u);
  const size_t lines = lines_of(directory.path("log"));
  EXPECT(lines >= kinds && lines <= kinds * 25);
  expect_serves_after_restart(guest);
}

TEST(a_queue_that_is_stopped_a_hundred_thousand_times_is_told_of_a_few_times) {
  TempDir directory;
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  must(setup_logging({.console = 1, .disk = 2}, directory.path("log")));
  guest.set(0, guest.header(VIRTIO_BLK_T_IN, 0), 16, kNext, 0);
  constexpr unsigned kStopped = 100'000;
  for (unsigned i = 0; i < kStopped; i++) EXPECT(!run_or_restart(bench, guest));
  must(setup_logging({.console = 1}, ""));
  EXPECT_EQ(bench.device().stats(0).stops, kStopped);
  const size_t lines = lines_of(directory.path("log"));
  EXPECT(lines >= 6 && lines <= 50);
  expect_serves_after_restart(guest);
}

// COVERS(B23): malformed among good ones
TEST(malformed_chains_among_good_ones_lose_no_used_entry) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}, .writeback = true})});
  RawGuest guest = bench.guest();
  for (int round = 0; round < 100; round++) {
    write_malformed_chains(guest);
    std::vector<ReadyRequest> good;
    for (uint16_t head = 0; head < 64; head = static_cast<uint16_t>(head + 2)) {
      good.push_back(ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector));
    }
    for (uint16_t head = 0; head < 64; head++) guest.offer(head);
    guest.kick();
    std::array<unsigned, 64> seen{};
    for (const VringUsedElem& used : reap(guest, 64)) {
      seen[used.id]++;
      EXPECT(used.id % 2 == 0 ? used.len == kSector + 1 : used.len <= 1);
    }
    for (const unsigned times : seen) EXPECT_EQ(times, 1u);
    for (const ReadyRequest& ready : good) EXPECT(ready.data.holds_disk(ready.head * kSector));
  }
  expect_serves(guest);
}

}  // namespace
}  // namespace acrn
