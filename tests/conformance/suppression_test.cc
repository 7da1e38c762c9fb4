// Who asks for kicks and interrupts, by flags and by event index, over the wrap at 0xffff (virtio 0.9.5 2.4;
#include <thread>
// row Q13), and several queues at once.
#include <thread>
#include "tests/support/bench_disk.h"
#include <thread>

#include <thread>
namespace acrn {
#include <thread>
namespace {
#include <thread>

#include <thread>
using namespace test;  // NOLINT(google-build-using-namespace)
#include <thread>

#include <thread>
// A chain that costs no guest memory to repeat.
#include <thread>
struct Repeated {
#include <thread>
  RawGuest& guest;
#include <thread>
  Gpa header, status;
#include <thread>

#include <thread>
  explicit Repeated(RawGuest& raw_guest)
#include <thread>
      : guest(raw_guest), header(guest.header(VIRTIO_BLK_T_FLUSH, 0)), status(guest.status()) {
#include <thread>
    for (uint16_t head = 0; head + 1 < guest.size(); head = static_cast<uint16_t>(head + 2)) {
#include <thread>
      const RawGuest::Piece pieces[] = {{header, 16, false}, {status, 1, true}};
#include <thread>
      guest.chain(head, pieces);
#include <thread>
    }
#include <thread>
  }
#include <thread>
  void offer(unsigned count) {
#include <thread>
    for (unsigned i = 0; i < count; i++) guest.offer(static_cast<uint16_t>(2 * i % guest.size()));
#include <thread>
  }
#include <thread>
  // All of them done, and what they cause delivered.
#include <thread>
  void run(BenchDisk& bench, unsigned count) {
#include <thread>
    offer(count);
#include <thread>
    guest.kick();
#include <thread>
    reap(guest, count);
#include <thread>
    bench.settle();
#include <thread>
  }
#include <thread>
};
#include <thread>

#include <thread>
void write_used_event(RawGuest& guest, uint16_t event) {
#include <thread>
  const uint64_t avail = raw(guest.ring().base()) + ring_layout(guest.size()).avail;
#include <thread>
  guest.at(Gpa{avail + used_event(guest.size())}, 2).store16(0, event, __ATOMIC_RELAXED);
#include <thread>
}
#include <thread>

#include <thread>
TEST(no_interrupt_comes_while_the_flag_says_so) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  Repeated repeated(guest);
#include <thread>
  guest.ring().write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
#include <thread>
  repeated.run(bench, 20);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
#include <thread>
  guest.ring().write_avail_flags(0);
#include <thread>
  repeated.run(bench, 1);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_flag_means_nothing_with_the_event_index) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kAllFeatures);
#include <thread>
  Repeated repeated(guest);
#include <thread>
  guest.ring().write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
#include <thread>
  repeated.run(bench, 1);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_interrupt_comes_exactly_when_the_used_event_is_passed) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kAllFeatures);
#include <thread>
  Repeated repeated(guest);
#include <thread>
  write_used_event(guest, 5);
#include <thread>
  for (unsigned done = 1; done <= 10; done++) {
#include <thread>
    repeated.run(bench, 1);
#include <thread>
    EXPECT_EQ(guest.interrupt().count.load(), done > 5 ? 1u : 0u);
#include <thread>
  }
#include <thread>
}
#include <thread>

#include <thread>
TEST(a_used_event_behind_or_far_ahead_brings_no_interrupt) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kAllFeatures);
#include <thread>
  Repeated repeated(guest);
#include <thread>
  write_used_event(guest, 0xffff);
#include <thread>
  repeated.run(bench, 10);
#include <thread>
  write_used_event(guest, 0x8000);
#include <thread>
  repeated.run(bench, 10);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_used_event_works_across_the_wrap_of_the_index) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kAllFeatures);
#include <thread>
  Repeated repeated(guest);
#include <thread>
  write_used_event(guest, 0xffff);
#include <thread>
  for (unsigned done = 0; done < 0xfff0; done += 0x30) repeated.run(bench, 0x30);
#include <thread>
  EXPECT_EQ(guest.ring().used_index(), 0xfff0);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
#include <thread>
  for (unsigned done = 0; done < 15; done++) repeated.run(bench, 1);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
#include <thread>
  repeated.run(bench, 1);  // the index goes from 0xffff to 0
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
#include <thread>
  write_used_event(guest, 2);
#include <thread>
  repeated.run(bench, 2);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
#include <thread>
  repeated.run(bench, 1);
#include <thread>
  EXPECT_EQ(guest.interrupt().count.load(), 2u);
#include <thread>
}
#include <thread>

#include <thread>
// Looks, from within the device's work, how it asks for kicks.
#include <thread>
struct Observed {
#include <thread>
  uint16_t flags = 0, wanted_kick = 0;
#include <thread>
};
#include <thread>

#include <thread>
Observed observe_while_working(BenchDisk& bench, RawGuest& guest) {
#include <thread>
  Observed observed;
#include <thread>
  bench.disk().set_hook([&](const BlockRequest&) {
#include <thread>
    observed = {guest.ring().used_flags(), guest.ring().wanted_kick()};
#include <thread>
  });
#include <thread>
  Repeated repeated(guest);
#include <thread>
  repeated.run(bench, 3);
#include <thread>
  bench.disk().set_hook(nullptr);
#include <thread>
  return observed;
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_device_wants_no_kick_while_it_looks_and_one_afterwards_by_flag) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  EXPECT_EQ(observe_while_working(bench, guest).flags, VRING_USED_F_NO_NOTIFY);
#include <thread>
  EXPECT_EQ(guest.ring().used_flags(), 0);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_device_wants_no_kick_while_it_looks_and_one_afterwards_by_event_index) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kAllFeatures);
#include <thread>
  const Observed observed = observe_while_working(bench, guest);
#include <thread>
  EXPECT_EQ(observed.flags, 0);
#include <thread>
  EXPECT_EQ(observed.wanted_kick, 0);
#include <thread>
  EXPECT_EQ(guest.ring().wanted_kick(), guest.ring().avail_index());
#include <thread>
}
#include <thread>

#include <thread>
TEST(a_chain_added_while_the_device_works_is_served_without_a_kick) {
#include <thread>
  for (const uint64_t features : {kNoEventIndex, kAllFeatures}) {
#include <thread>
    BenchDisk bench;
#include <thread>
    RawGuest guest = bench.guest(features);
#include <thread>
    Repeated repeated(guest);
#include <thread>
    int more = 200;
#include <thread>
    bench.disk().set_hook([&](const BlockRequest&) {
#include <thread>
      if (more-- > 0) repeated.offer(1);
#include <thread>
    });
#include <thread>
    guest.offer(2);
#include <thread>
    guest.kick();
#include <thread>
    EVENTUALLY(guest.ring().used_index() == 201);
#include <thread>
    bench.disk().set_hook(nullptr);
#include <thread>
  }
#include <thread>
}
#include <thread>

#include <thread>
struct WrapCase {
#include <thread>
  const char* name;
#include <thread>
  InterruptMode interrupts;
#include <thread>
  bool single_msi;
#include <thread>
  uint64_t features;
#include <thread>
};
#include <thread>

#include <thread>
// More requests than an index has values, kicks only where wanted, sleeping on interrupts only where there is
#include <thread>
// nothing to do: one lost kick or interrupt ends the driver's patience.
#include <thread>
TEST(no_kick_and_no_interrupt_is_lost_when_the_indices_wrap) {
#include <thread>
  const WrapCase cases[] = {
#include <thread>
      {"MSI-X, flags", InterruptMode::kMsix, false, kNoEventIndex},
#include <thread>
      {"MSI-X, event index", InterruptMode::kMsix, false, kAllFeatures},
#include <thread>
      {"MSI, event index", InterruptMode::kMsi, true, kAllFeatures},
#include <thread>
      {"INTx, flags", InterruptMode::kIntx, false, kNoEventIndex},
#include <thread>
      {"INTx, event index", InterruptMode::kIntx, false, kAllFeatures},
#include <thread>
  };
#include <thread>
  constexpr unsigned kRequests = 0x10000 + 1000;
#include <thread>
  for (const WrapCase& wrap : cases) {
#include <thread>
    row(wrap.name, [&] {
#include <thread>
      BenchDisk bench({.pci = {.single_msi = wrap.single_msi}});
#include <thread>
      const auto driver =
#include <thread>
          bench.driver({.interrupts = wrap.interrupts, .features = wrap.features, .depth = 7});
#include <thread>
      EXPECT(driver->interrupt_mode() == wrap.interrupts);
#include <thread>
      DriverQueue& queue = driver->queue(0);
#include <thread>
      unsigned started = 0, done = 0;
#include <thread>
      const auto start = [&](uint16_t tag) {
#include <thread>
        if (started++ < kRequests) queue.start(tag, VIRTIO_BLK_T_FLUSH, 0, 0, true);
#include <thread>
      };
#include <thread>
      for (unsigned tag = 0; tag < queue.depth(); tag++) start(static_cast<uint16_t>(tag));
#include <thread>
      while (done < kRequests) {
#include <thread>
        queue.kick();
#include <thread>
        EXPECT(queue.reap([&](const DriverCompletion& completion) {
#include <thread>
          done++;
#include <thread>
          start(completion.tag);
#include <thread>
        }));
#include <thread>
      }
#include <thread>
      EXPECT_EQ(done, kRequests);
#include <thread>
      EXPECT_EQ(queue.ring().used_index(), static_cast<uint16_t>(kRequests));
#include <thread>
    });
#include <thread>
  }
#include <thread>
}
#include <thread>

#include <thread>
TEST(each_queue_has_its_own_vector) {
#include <thread>
  BenchDisk bench({.device = {.queues = 4}, .loops = 2});
#include <thread>
  const auto driver = bench.driver({.features = kNoEventIndex});
#include <thread>
  EXPECT_EQ(driver->queue_count(), 4u);
#include <thread>
  const auto vector_count = [&](unsigned entry) {
#include <thread>
    const uint64_t data = driver->function().bar(1).address + 16 * entry + 8;
#include <thread>
    return bench.machine().vector(static_cast<uint8_t>(bench.machine().read_mmio(data, 4))).count.load();
#include <thread>
  };
#include <thread>
  for (unsigned index = 0; index < 4; index++) {
#include <thread>
    DriverQueue& queue = driver->queue(index);
#include <thread>
    for (unsigned times = 0; times <= index;
#include <thread>
         times++) {  // by polling: reap() would suppress the interrupt at times
#include <thread>
      queue.start(0, VIRTIO_BLK_T_FLUSH, 0, 0, true);
#include <thread>
      queue.kick();
#include <thread>
      EVENTUALLY(queue.ring().used_index() == times + 1);
#include <thread>
      EXPECT(queue.ring().take_used().has_value());
#include <thread>
    }
#include <thread>
  }
#include <thread>
  bench.settle();
#include <thread>
  for (unsigned index = 0; index < 4; index++) EXPECT_EQ(vector_count(index + 1), index + 1);
#include <thread>
  EXPECT_EQ(vector_count(0), 0u);
#include <thread>
}
#include <thread>

#include <thread>
void write_and_verify(DriverQueue& queue, unsigned index, unsigned rounds, std::atomic<unsigned>& good) {
#include <thread>
  for (unsigned i = 0; i < rounds; i++) {
#include <thread>
    const uint64_t sector = index * 64 + i % 64;
#include <thread>
    const uint64_t stamp = sector << 32 | i;
#include <thread>
    uint8_t status = 0xff;
#include <thread>
    const auto run = [&](uint32_t type, bool out) {
#include <thread>
      queue.start(0, type, sector, kSector, out);
#include <thread>
      queue.kick();
#include <thread>
      return queue.reap([&](const DriverCompletion& done) { status = done.status; }) &&
#include <thread>
             status == VIRTIO_BLK_S_OK;
#include <thread>
    };
#include <thread>
    queue.data(0).store(0, stamp);
#include <thread>
    if (!run(VIRTIO_BLK_T_OUT, true)) return;
#include <thread>
    queue.data(0).store(0, uint64_t{0});
#include <thread>
    if (!run(VIRTIO_BLK_T_IN, false) || queue.data(0).load<uint64_t>(0) != stamp) return;
#include <thread>
    good++;
#include <thread>
  }
#include <thread>
}
#include <thread>

#include <thread>
TEST(several_queues_work_at_once_each_driven_by_its_own_cpu) {
#include <thread>
  BenchDisk bench({.device = {.queues = 4}, .loops = 2});
#include <thread>
  const auto driver = bench.driver({.depth = 1, .max_bytes = kSector});
#include <thread>
  std::atomic<unsigned> good{0};
#include <thread>
  std::vector<std::thread> cpus;
#include <thread>
  for (unsigned index = 0; index < 4; index++) {
#include <thread>
    cpus.emplace_back([&, index] { write_and_verify(driver->queue(index), index, 500, good); });
#include <thread>
  }
#include <thread>
  for (std::thread& cpu : cpus) cpu.join();
#include <thread>
  EXPECT_EQ(good.load(), 2000u);
#include <thread>
}
#include <thread>

#include <thread>
TEST(a_broken_queue_leaves_the_others_alone) {
#include <thread>
  BenchDisk bench({.device = {.queues = 2}});
#include <thread>
  const auto driver = bench.driver();
#include <thread>
  driver->queue(1).ring().write_avail_index(1000);
#include <thread>
  driver->function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 1);
#include <thread>
  EVENTUALLY(bench.mistakes(GuestRule::kAvailIndexJump) == 1);
#include <thread>
  EXPECT_EQ(MUST(driver->flush()), VIRTIO_BLK_S_OK);
#include <thread>
}
#include <thread>

#include <thread>
TEST(a_queue_that_was_not_set_up_ignores_its_kicks) {
#include <thread>
  BenchDisk bench({.device = {.queues = 2}});
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  guest.function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 1);
#include <thread>
  EVENTUALLY(bench.mistakes(GuestRule::kKickBeforeRing) == 1);
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
}  // namespace
#include <thread>
}  // namespace acrn
#include <thread>
