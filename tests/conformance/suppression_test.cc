// Who asks for kicks and interrupts, by flags and by event index, over the wrap at 0xffff (virtio 0.9.5 2.4;
// row Q13), and several queues at once.
// COVERS(ring.wrap)
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// A chain that costs no guest memory to repeat.
struct Repeated {
  RawGuest& guest;
  Gpa header, status;

  explicit Repeated(RawGuest& raw_guest)
      : guest(raw_guest), header(guest.header(VIRTIO_BLK_T_FLUSH, 0)), status(guest.status()) {
    for (uint16_t head = 0; head + 1 < guest.size(); head = static_cast<uint16_t>(head + 2)) {
      const RawGuest::Piece pieces[] = {{header, 16, false}, {status, 1, true}};
      guest.chain(head, pieces);
    }
  }
  void offer(unsigned count) {
    for (unsigned i = 0; i < count; i++) guest.offer(static_cast<uint16_t>(2 * i % guest.size()));
  }
  // All of them done, and what they cause delivered.
  void run(DeviceFixture& bench, unsigned count) {
    offer(count);
    guest.kick();
    reap(guest, count);
    bench.settle();
  }
};

void write_used_event(RawGuest& guest, uint16_t event) {
  const uint64_t avail = raw(guest.ring().base()) + ring_layout(guest.size()).avail;
  guest.at(Gpa{avail + used_event(guest.size())}, 2).store16(0, event, __ATOMIC_RELAXED);
}

// COVERS(virtio 0.9.5 2.4.2): no interrupt while the flag says so
TEST(no_interrupt_comes_while_the_flag_says_so) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  Repeated repeated(guest);
  guest.ring().write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
  repeated.run(bench, 20);
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
  guest.ring().write_avail_flags(0);
  repeated.run(bench, 1);
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
}

TEST(the_flag_means_nothing_with_the_event_index) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kAllFeatures);
  Repeated repeated(guest);
  guest.ring().write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
  repeated.run(bench, 1);
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
}

// COVERS(virtio 0.9.5 2.4.2): an interrupt exactly when used_event is passed
TEST(the_interrupt_comes_exactly_when_the_used_event_is_passed) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kAllFeatures);
  Repeated repeated(guest);
  write_used_event(guest, 5);
  for (unsigned done = 1; done <= 10; done++) {
    repeated.run(bench, 1);
    EXPECT_EQ(guest.interrupt().count.load(), done > 5 ? 1u : 0u);
  }
}

TEST(a_used_event_behind_or_far_ahead_brings_no_interrupt) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kAllFeatures);
  Repeated repeated(guest);
  write_used_event(guest, 0xffff);
  repeated.run(bench, 10);
  write_used_event(guest, 0x8000);
  repeated.run(bench, 10);
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
}

// COVERS(Q13): index wrap with both ways of suppression
TEST(the_used_event_works_across_the_wrap_of_the_index) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kAllFeatures);
  Repeated repeated(guest);
  write_used_event(guest, 0xffff);
  for (unsigned done = 0; done < 0xfff0; done += 0x30) repeated.run(bench, 0x30);
  EXPECT_EQ(guest.ring().used_index(), 0xfff0);
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
  for (unsigned done = 0; done < 15; done++) repeated.run(bench, 1);
  EXPECT_EQ(guest.interrupt().count.load(), 0u);
  repeated.run(bench, 1);  // the index goes from 0xffff to 0
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
  write_used_event(guest, 2);
  repeated.run(bench, 2);
  EXPECT_EQ(guest.interrupt().count.load(), 1u);
  repeated.run(bench, 1);
  EXPECT_EQ(guest.interrupt().count.load(), 2u);
}

// Looks, from within the device's work, how it asks for kicks.
struct Observed {
  uint16_t flags = 0, wanted_kick = 0;
};

Observed observe_while_working(DeviceFixture& bench, RawGuest& guest) {
  Observed observed;
  bench.disk().set_hook([&](const BlockRequest&) {
    observed = {guest.ring().used_flags(), guest.ring().wanted_kick()};
  });
  Repeated repeated(guest);
  repeated.run(bench, 3);
  bench.disk().set_hook(nullptr);
  return observed;
}

// COVERS(virtio 0.9.5 2.4.2): no kick is wanted while the device looks
TEST(the_device_wants_no_kick_while_it_looks_and_one_afterwards_by_flag) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  EXPECT_EQ(observe_while_working(bench, guest).flags, VRING_USED_F_NO_NOTIFY);
  EXPECT_EQ(guest.ring().used_flags(), 0);
}

// COVERS(virtio 0.9.5 2.4.2): no kick is wanted while the device looks, by event index
TEST(the_device_wants_no_kick_while_it_looks_and_one_afterwards_by_event_index) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kAllFeatures);
  const Observed observed = observe_while_working(bench, guest);
  EXPECT_EQ(observed.flags, 0);
  EXPECT_EQ(observed.wanted_kick, 0);
  EXPECT_EQ(guest.ring().wanted_kick(), guest.ring().avail_index());
}

TEST(a_chain_added_while_the_device_works_is_served_without_a_kick) {
  for (const uint64_t features : {kNoEventIndex, kAllFeatures}) {
    DeviceFixture bench;
    RawGuest guest = bench.guest(features);
    Repeated repeated(guest);
    int more = 200;
    bench.disk().set_hook([&](const BlockRequest&) {
      if (more-- > 0) repeated.offer(1);
    });
    guest.offer(2);
    guest.kick();
    EXPECT(wait_until([&] { return guest.ring().used_index() == 201; }));
    bench.disk().set_hook(nullptr);
  }
}

struct WrapCase {
  const char* name;
  InterruptMode interrupts;
  bool single_msi;
  uint64_t features;
};

// More requests than an index has values, kicks only where wanted, sleeping on interrupts only where there is
// nothing to do: one lost kick or interrupt ends the driver's patience.
// COVERS(Q13): index wrap with both ways of suppression
TEST(no_kick_and_no_interrupt_is_lost_when_the_indices_wrap) {
  const WrapCase cases[] = {
      {"MSI-X, flags", InterruptMode::kMsix, false, kNoEventIndex},
      {"MSI-X, event index", InterruptMode::kMsix, false, kAllFeatures},
      {"MSI, event index", InterruptMode::kMsi, true, kAllFeatures},
      {"INTx, flags", InterruptMode::kIntx, false, kNoEventIndex},
      {"INTx, event index", InterruptMode::kIntx, false, kAllFeatures},
  };
  constexpr unsigned kRequests = 0x10000 + 1000;
  for (const WrapCase& wrap : cases) {
    row(wrap.name, [&] {
      DeviceFixture bench({.pci = {.single_msi = wrap.single_msi}});
      const auto driver = bench.driver({.interrupts = wrap.interrupts, .features = wrap.features, .depth = 7});
      EXPECT(driver->interrupt_mode() == wrap.interrupts);
      DriverQueue& queue = driver->queue(0);
      unsigned started = 0, done = 0;
      const auto start = [&](uint16_t tag) {
        if (started++ < kRequests) queue.start(tag, VIRTIO_BLK_T_FLUSH, 0, 0, true);
      };
      for (unsigned tag = 0; tag < queue.depth(); tag++) start(static_cast<uint16_t>(tag));
      while (done < kRequests) {
        queue.kick();
        EXPECT(queue.reap([&](const DriverCompletion& completion) {
          done++;
          start(completion.tag);
        }));
      }
      EXPECT_EQ(done, kRequests);
      EXPECT_EQ(queue.ring().used_index(), static_cast<uint16_t>(kRequests));
    });
  }
}

TEST(each_queue_has_its_own_vector) {
  DeviceFixture bench({.device = {.queues = 4}, .loops = 2});
  const auto driver = bench.driver({.features = kNoEventIndex});
  EXPECT_EQ(driver->queue_count(), 4u);
  const auto vector_count = [&](unsigned entry) {
    const uint64_t data = driver->function().bar(1).address + 16 * entry + 8;
    return bench.machine().vector(static_cast<uint8_t>(bench.machine().read_mmio(data, 4))).count.load();
  };
  for (unsigned index = 0; index < 4; index++) {
    DriverQueue& queue = driver->queue(index);
    for (unsigned times = 0; times <= index; times++) {  // by polling: reap() would suppress the interrupt at times
      queue.start(0, VIRTIO_BLK_T_FLUSH, 0, 0, true);
      queue.kick();
      EXPECT(wait_until([&] { return queue.ring().used_index() == times + 1; }));
      EXPECT(queue.ring().take_used().has_value());
    }
  }
  bench.settle();
  for (unsigned index = 0; index < 4; index++) EXPECT_EQ(vector_count(index + 1), index + 1);
  EXPECT_EQ(vector_count(0), 0u);
}

void write_and_verify(DriverQueue& queue, unsigned index, unsigned rounds, std::atomic<unsigned>& good) {
  for (unsigned i = 0; i < rounds; i++) {
    const uint64_t sector = index * 64 + i % 64;
    const uint64_t stamp = sector << 32 | i;
    uint8_t status = 0xff;
    const auto run = [&](uint32_t type, bool out) {
      queue.start(0, type, sector, kSector, out);
      queue.kick();
      return queue.reap([&](const DriverCompletion& done) { status = done.status; }) && status == VIRTIO_BLK_S_OK;
    };
    queue.data(0).store(0, stamp);
    if (!run(VIRTIO_BLK_T_OUT, true)) return;
    queue.data(0).store(0, uint64_t{0});
    if (!run(VIRTIO_BLK_T_IN, false) || queue.data(0).load<uint64_t>(0) != stamp) return;
    good++;
  }
}

TEST(several_queues_work_at_once_each_driven_by_its_own_cpu) {
  DeviceFixture bench({.device = {.queues = 4}, .loops = 2});
  const auto driver = bench.driver({.depth = 1, .max_bytes = kSector});
  std::atomic<unsigned> good{0};
  std::vector<std::thread> cpus;
  for (unsigned index = 0; index < 4; index++) {
    cpus.emplace_back([&, index] { write_and_verify(driver->queue(index), index, 500, good); });
  }
  for (std::thread& cpu : cpus) cpu.join();
  EXPECT_EQ(good.load(), 2000u);
}

TEST(a_broken_queue_leaves_the_others_alone) {
  DeviceFixture bench({.device = {.queues = 2}});
  const auto driver = bench.driver();
  driver->queue(1).ring().write_avail_index(1000);
  driver->function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 1);
  EXPECT(wait_until([&] { return bench.guest_errors(GuestRule::kAvailIndexJump) == 1; }));
  EXPECT_EQ(must(driver->flush()), VIRTIO_BLK_S_OK);
}

TEST(a_queue_that_was_not_set_up_ignores_its_kicks) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 1);
  EXPECT(wait_until([&] { return bench.guest_errors(GuestRule::kKickBeforeRing) == 1; }));
  expect_serves(guest);
}

}  // namespace
}  // namespace acrn
