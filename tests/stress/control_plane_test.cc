// The control side and the data side at once: vCPUs that read and write registers, masks and configuration while
// requests are in flight, resets and BAR moves among them. Meant for the thread sanitizer.
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "dm/tools/session.h"
#include "tests/support/temp_dir.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr unsigned kRounds = 40;

std::unique_ptr<Session> open(const std::string& slot) {
  auto session = Session::open({.slots = {slot}}, 1);
  if (!session) throw Failure{"open", session.error().message};
  return std::move(session).value();
}

// Keeps the queue busy for `requests` reads and writes. False: the device stopped answering.
bool busy(DriverQueue& queue, unsigned requests, uint64_t sectors) {
  std::mt19937 random(requests);
  unsigned started = 0, in_flight = 0;
  const auto start = [&](uint16_t tag) {
    const bool write = random() % 2 == 0;
    queue.start(tag, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, random() % (sectors - 8), 4096, write);
    started++, in_flight++;
  };
  for (uint16_t tag = 0; tag < queue.depth(); tag++) start(tag);
  queue.kick();
  while (in_flight > 0) {
    const bool answered = queue.reap([&](const DriverCompletion& done) {
      in_flight--;
      if (started < requests) start(done.tag);
    });
    if (!answered) return false;
    queue.kick();
  }
  return true;
}

}  // namespace

TEST(register_and_configuration_accesses_of_other_vcpus_do_not_disturb_requests) {
  TempDir dir;
  auto session = open("3,virtio-blk," + dir.file("disk.img", 4 << 20) + ",writeback,mq=2,iothread=2");
  auto driver = session->drive(0, {.depth = 16, .max_bytes = 4096});
  EXPECT(driver.ok());
  GuestFunction& function = driver.value()->function();
  PciFunction& device = session->device(0).function();
  std::atomic<bool> stop{false}, answered{true};
  std::jthread reader([&] {
    while (!stop) {
      driver.value()->config();
      function.in(VIRTIO_PCI_STATUS, 1);
      device.config_read(0x04, 4);
    }
  });
  std::jthread writer([&] {
    while (!stop) {
      device.bar_write(0, VIRTIO_PCI_CONFIG_OFF_MSIX + 32, 1, 0);  // writeback
      device.bar_write(0, VIRTIO_PCI_CONFIG_OFF_MSIX + 32, 1, 1);
      device.bar_write(0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
      device.bar_write(0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 7);
    }
  });
  std::jthread masker([&] {
    while (!stop) {
      for (unsigned entry = 0; entry < 3; entry++) function.mask_msix_entry(entry, true);
      for (unsigned entry = 0; entry < 3; entry++) function.mask_msix_entry(entry, false);
    }
  });
  {
    std::vector<std::jthread> guests;
    for (unsigned q = 0; q < 2; q++) {
      guests.emplace_back([&, q] {
        if (!busy(driver.value()->queue(q), 4000, 8192)) answered = false;
      });
    }
  }
  stop = true;
  EXPECT(answered);
}

// COVERS(Q14): reset with 64 in flight, set up again at once
TEST(resets_with_requests_in_flight_leave_a_device_that_works_and_memory_that_is_still) {
  TempDir dir;
  auto session = open("3,virtio-blk," + dir.file("disk.img", 4 << 20) + ",writeback");
  for (unsigned round = 0; round < kRounds; round++) {
    auto driver = session->drive(0, {.depth = 32, .max_bytes = 4096});
    EXPECT(driver.ok());
    DriverQueue& queue = driver.value()->queue(0);
    for (uint16_t tag = 0; tag < queue.depth(); tag++) queue.start(tag, VIRTIO_BLK_T_IN, tag * 8u, 4096, false);
    queue.kick();
    driver.value()->function().out(VIRTIO_PCI_STATUS, 1, 0);
    // From here on the memory is the guest's alone.
    const std::byte canary{0xc5};
    for (uint16_t tag = 0; tag < queue.depth(); tag++) queue.data(tag).store(0, canary);
    const uint16_t used = queue.ring().used_index();
    auto next = session->drive(0, {.depth = 32, .max_bytes = 4096});
    EXPECT(next.ok());
    EXPECT(busy(next.value()->queue(0), 200, 8192));
    for (uint16_t tag = 0; tag < queue.depth(); tag++) EXPECT_EQ(queue.data(tag).load<uint8_t>(0), 0xc5);
    EXPECT_EQ(queue.ring().used_index(), used);
  }
}

// COVERS(B17): capacity read in parts during a resize
TEST(a_resize_under_load_is_seen_whole_by_a_driver_that_reads_bytes) {
  TempDir dir;
  const std::string image = dir.file("disk.img", 255 * 512);
  auto session = open("3,virtio-blk," + image + ",writeback");
  auto driver = session->drive(0, {.depth = 16, .max_bytes = 4096});
  EXPECT(driver.ok());
  std::atomic<bool> stop{false}, resized{true};
  std::jthread control([&] {
    for (unsigned i = 0; !stop; i++) {
      std::filesystem::resize_file(image, (i % 2 == 0 ? 256 : 255) * 512);  // all low bytes change: 0xff, 0x100
      if (!session->device(0).disk()->resize().ok()) resized = false;
    }
  });
  for (unsigned i = 0; i < 2000; i++) {
    const uint64_t capacity = driver.value()->capacity();
    EXPECT(capacity == 255 || capacity == 256);
  }
  EXPECT(busy(driver.value()->queue(0), 500, 200));
  stop = true;
  control.join();
  EXPECT(resized);
}
