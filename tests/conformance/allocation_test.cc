// A request costs no allocation anywhere between the driver's kick and its interrupt, whichever way it goes:
// served inside submit(), by a worker, refused, or answered without the disk.
#include "dm/tools/session.h"
#include "tests/contract/allocation_count.h"
#include "tests/support/library_host.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {
namespace {

constexpr unsigned kRequests = 4000;

// Keeps the queue busy with requests of these types in turn.
void drive(DriverQueue& queue) {
  static constexpr uint32_t kTypes[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_FLUSH};
  unsigned started = 0, in_flight = 0;
  const auto start = [&](uint16_t tag) {
    const uint32_t type = kTypes[started % std::size(kTypes)];
    const uint32_t bytes = type == VIRTIO_BLK_T_FLUSH ? 0 : type == VIRTIO_BLK_T_GET_ID ? VIRTIO_BLK_ID_BYTES : 4096;
    queue.start(tag, type, started % 512 * 8, bytes, type == VIRTIO_BLK_T_OUT);
    started++, in_flight++;
  };
  for (unsigned tag = 0; tag < queue.depth(); tag++) start(static_cast<uint16_t>(tag));
  queue.kick();
  while (in_flight > 0) {
    const bool answered = queue.reap([&](const DriverCompletion& done) {
      in_flight--;
      EXPECT_EQ(done.status, VIRTIO_BLK_S_OK);
      if (started < kRequests) start(done.tag);
    });
    EXPECT(answered);
    queue.kick();
  }
}

void expect_no_allocation(DriverQueue& queue) {
  drive(queue);  // a first round, for what libraries set up once
  const unsigned long before = allocation_count();
  drive(queue);
  EXPECT_EQ(allocation_count(), before);
}

void expect_no_allocation(const std::string& options) {
  TempDir dir;
  auto session = Session::open({.slots = {"3,virtio-blk," + dir.file("disk.img", 4 << 20) + options}}, 1);
  EXPECT(session.ok());
  auto driver = session.value()->drive(0, {.depth = 32, .max_bytes = 4096});
  EXPECT(driver.ok());
  expect_no_allocation(driver.value()->queue(0));
}

TEST(no_request_allocates_in_writeback) { expect_no_allocation(",writeback"); }
TEST(no_request_allocates_with_nocache) { expect_no_allocation(",nocache,writeback"); }
TEST(no_request_allocates_in_a_window_on_iothreads) { expect_no_allocation(",writeback,range=0/4096,iothread"); }

TEST(no_request_allocates_in_the_library) {
  const TempDir dir;
  const PciAddress address{0, 9, 0};
  const std::string options = dir.file("disk.img", 4 << 20) + ",writeback";
  for (const auto make : {make_whole_function, make_register_function}) {
    const auto board = must(LoopbackMachine::create(64 << 20));
    const auto function = make(options, *board->memory().map(), board->pin(address), board->msi());
    board->bus().attach(address, *function);
    const auto driver = must(LegacyDriver::start(*board, address, {.depth = 32, .max_bytes = 4096}));
    expect_no_allocation(driver->queue(0));
  }
}

}  // namespace
}  // namespace acrn::test
