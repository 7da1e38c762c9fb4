// A disk that comes later, cannot come, or changes its size, while the guest runs (device.md 8).
#include <filesystem>
#include <fstream>
#include <thread>

#include "dm/cli/option_table.h"
#include "dm/devices/device_table.h"
#include "tests/support/device_fixture.h"
#include "tests/support/no_threads.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// No queue interrupt is under way any more, and none is remembered.
void acknowledge(DeviceFixture& bench, RawGuest& guest) {
  bench.settle();
  guest.function().in(VIRTIO_PCI_ISR, 1);
}

TEST(a_disk_that_comes_later_is_announced_and_served) {
  for (const InterruptMode mode : {InterruptMode::kMsix, InterruptMode::kIntx}) {
    DeviceFixture bench({.attached = false});
    RawGuest guest = bench.guest(kNoEventIndex, mode);
    std::vector<std::byte> data(kSector);
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(guest.capacity(), 0u);
    acknowledge(bench, guest);
    bench.attach(std::make_unique<MemoryDisk>(BlockInfo{.size = 2 * kMiB, .physical_block = 4096}));
    if (mode == InterruptMode::kIntx) {
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
    } else {
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
    }
    EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
    EXPECT_EQ(guest.config(24, 1), 3u);
    expect_serves(guest);
    const auto again = bench.device().attach(std::make_unique<MemoryDisk>(BlockInfo{.size = kMiB}), "other");
    EXPECT(!again.ok());
    EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
    expect_serves(guest);
  }
}

TEST(a_disk_may_come_while_requests_are_refused) {
  DeviceFixture bench({.attached = false});
  RawGuest guest = bench.guest();
  std::thread operator_thread([&] { bench.attach(std::make_unique<MemoryDisk>(BlockInfo{.size = kMiB})); });
  std::vector<std::byte> data(kSector);
  bool answered = true;
  for (int i = 0; i < 200 && answered; i++) answered = guest.request(VIRTIO_BLK_T_IN, 0, data).has_value();
  operator_thread.join();
  EXPECT(answered);
  expect_serves(guest);
}

// A disk whose second channel cannot be had. Its first keeps what it gets until it goes, which it must not
// with anything in flight; nor may the disk go before it.
class HalfOpenDisk final : public BlockBackend {
 public:
  struct Count {
    std::atomic<int> opened{0}, submitted{0}, alive{0}, orphans{0}, lost{0};
  };
  HalfOpenDisk(std::shared_ptr<Count> count, std::function<void()> before_failure)
      : count_(std::move(count)), before_failure_(std::move(before_failure)) {}
  ~HalfOpenDisk() override { count_->orphans = count_->alive.load(); }
  BlockInfo info() const override { return {.size = kMiB}; }
  Result<uint64_t> refresh_size() override { return kMiB; }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop&, unsigned) override {
    if (++count_->opened == 1) return std::unique_ptr<BlockChannel>(std::make_unique<Channel>(count_));
    before_failure_();
    return Error{ErrorKind::kInternal, "out of descriptors"};
  }

 private:
  class Channel final : public BlockChannel {
   public:
    explicit Channel(std::shared_ptr<Count> count) : count_(std::move(count)) { count_->alive++; }
    ~Channel() override {
      count_->alive--;
      for (BlockRequest* request : held_) {
        count_->lost++;
        request->sink->request_done(*request);
        request->sink->batch_done();
      }
    }
    void submit(std::span<BlockRequest* const> batch) override {
      held_.insert(held_.end(), batch.begin(), batch.end());
      count_->submitted += static_cast<int>(batch.size());
    }

   private:
    const std::shared_ptr<Count> count_;
    std::vector<BlockRequest*> held_;
  };
  const std::shared_ptr<Count> count_;
  const std::function<void()> before_failure_;
};

TEST(a_disk_that_cannot_be_attached_to_every_queue_goes_after_its_channels_and_may_come_again) {
  const auto count = std::make_shared<HalfOpenDisk::Count>();
  DeviceFixture bench({.device = {.queues = 2}, .attached = false});
  EXPECT(!bench.device().attach(std::make_unique<HalfOpenDisk>(count, [] {}), "half").ok());
  EXPECT_EQ(count->opened.load(), 2);
  EXPECT_EQ(count->alive.load() + count->orphans.load(), 0);
  RawGuest guest = bench.guest();
  EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_IOERR);
  bench.attach(std::make_unique<MemoryDisk>(BlockInfo{.size = kMiB}));
  expect_serves(guest);
}

TEST(a_request_during_an_attach_that_fails_is_not_taken_down_with_its_channel) {
  const auto count = std::make_shared<HalfOpenDisk::Count>();
  DeviceFixture bench({.device = {.queues = 2}, .attached = false, .loops = 2});
  RawGuest guest = bench.guest();
  const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
  const auto flush_now = [&] {
    guest.offer(0);
    guest.kick();
    EXPECT(wait_until([&] { return guest.ring().used_index() == 1 || count->submitted == 1; }));
  };
  EXPECT(!bench.device().attach(std::make_unique<HalfOpenDisk>(count, flush_now), "half").ok());
  EXPECT_EQ(reap(guest, 1).size(), 1u);
  EXPECT_EQ(count->lost.load(), 0);
  EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_IOERR);
}

// COVERS(device page, 8): a grown file is announced and served to its end
TEST(a_grown_file_is_announced_and_served_to_its_new_end) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}})});
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  auto data = filled(kSector, 0x33);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, kMiB / kSector, data)->status, VIRTIO_BLK_S_IOERR);
  acknowledge(bench, guest);
  std::filesystem::resize_file(path, 2 * kMiB);
  EXPECT_EQ(must(bench.device().resize()), 2 * kMiB);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
  EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2 * kMiB / kSector - 1, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(file_content(path).back(), std::byte{0x33});
  std::filesystem::resize_file(path, kMiB / 2);
  EXPECT_EQ(must(bench.device().resize()), kMiB / 2);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, kMiB / kSector, data)->status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(bench.guest_errors(GuestRule::kSectorPastEnd), 2u);
  expect_serves(guest);
}

TEST(resize_without_a_disk_is_refused) {
  DeviceFixture bench({.attached = false});
  EXPECT(!bench.device().resize().ok());
}

// As the command line and the control socket compose it.
struct Configured {
  std::unique_ptr<LoopbackMachine> machine = must(LoopbackMachine::create(64 * kMiB));
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("shared", {}));
  PciSlotConfig slot;
  std::unique_ptr<Device> device;

  explicit Configured(const std::string& text) : slot(must(parse_slot(text))) {
    const DeviceEnvironment environment{.memory = machine->memory(), .msi = machine->msi(), .shared_loop = *loop};
    device = must(create_device(slot, environment, machine->pin(slot.address)));
    machine->bus().attach(slot.address, device->function());
  }
  Result<void> rescan(const std::string& disk) { return device->disk()->rescan(split_fields(disk), -1); }
};

// COVERS(device page, 8): a slot without a disk gets its file once
TEST(a_nodisk_slot_gets_its_file_by_rescan_once) {
  TempDir directory;
  const std::string path = directory.file("disk", kMiB);
  Configured configured("9,virtio-blk,nodisk,mq=2,iothread");
  RawGuest guest = must(RawGuest::start(*configured.machine, configured.slot.address, kNoEventIndex));
  EXPECT_EQ(guest.capacity(), 0u);
  EXPECT(!configured.rescan(directory.path("missing")).ok());
  EXPECT_EQ(guest.capacity(), 0u);
  must(configured.rescan(path + ",mq=2,serial=later"));
  EXPECT_EQ(guest.capacity(), kMiB / kSector);
  expect_serves(guest);
  std::vector<std::byte> id(VIRTIO_BLK_ID_BYTES);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_GET_ID, 0, id)->status, VIRTIO_BLK_S_OK);
  EXPECT(std::string(reinterpret_cast<const char*>(id.data())) == "later");
  // Also the same file, which is not in use by another process.
  for (const std::string& again : {path, directory.file("other", kMiB)}) {
    EXPECT_CONTAINS(configured.rescan(again).error().message, "it has a disk already (" + path + ")");
  }
  std::filesystem::resize_file(path, 2 * kMiB);
  EXPECT_EQ(must(configured.device->disk()->resize()), 2 * kMiB);
  EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
  expect_serves(guest);
}

// The threads of the process with that in their name.
unsigned threads_named(const std::string& part) {
  unsigned count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(thread.path() / "comm");
    std::string name;
    std::getline(file, name);
    count += name.find(part) != std::string::npos ? 1 : 0;
  }
  return count;
}

TEST(the_thread_of_a_queue_starts_with_the_queue) {
  TempDir directory;
  const std::string path = directory.file("disk", kMiB);
  for (const char* disk : {"nodisk,mq=4,writeback", "nodisk,mq=4,iothread=2,writeback"}) {
    Configured configured(concat("9,virtio-blk,", disk));
    must(configured.rescan(path));
    must(configured.device->disk()->resize());
    must(configured.device->disk()->flush());
    const auto probed = GuestFunction::probe(*configured.machine, configured.slot.address);
    EXPECT(probed.has_value());
    const GuestFunction& function = *probed;
    function.out(VIRTIO_PCI_STATUS, 1, 0);
    EXPECT_EQ(threads_named("iothread"), 0u);
    {
      const NoThreads none;
      function.out(VIRTIO_PCI_QUEUE_SEL, 2, 0);
      function.out(VIRTIO_PCI_QUEUE_PFN, 4, 16);
      EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);  // as a queue whose ring is not in guest RAM
    }
    RawGuest guest = must(RawGuest::start(*configured.machine, configured.slot.address, kNoEventIndex));
    expect_serves(guest);
    EXPECT_EQ(threads_named("iothread"), 1u);
    must(configured.device->disk()->flush());
    guest.restart_queue();
    expect_serves(guest);
    EXPECT_EQ(threads_named("iothread"), 1u);
  }
  EXPECT_EQ(threads_named("iothread"), 0u);
}

// COVERS(input): options of a slot that gets its disk later
TEST(the_options_of_a_nodisk_slot_hold_for_the_disk_that_it_gets) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  Configured configured("9,virtio-blk,nodisk,serial=DISK01,range=8/16,writeback,sectorsize=512/4096,discard=64:4:8");
  RawGuest guest = must(RawGuest::start(*configured.machine, configured.slot.address, kNoEventIndex));
  std::vector<std::byte> id(VIRTIO_BLK_ID_BYTES), data(kSector);
  const auto serial = [&] {
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_GET_ID, 0, id)->status, VIRTIO_BLK_S_OK);
    return std::string(reinterpret_cast<const char*>(id.data()));
  };
  EXPECT_EQ(serial(), "DISK01");
  must(configured.rescan(path));
  EXPECT_EQ(guest.capacity(), 16u);
  EXPECT_EQ(serial(), "DISK01");
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_OK);
  for (size_t i = 0; i < data.size(); i++) EXPECT(data[i] == pattern(8 * kSector + i));
  EXPECT_EQ(guest.config(32, 1), 1u);
}

// COVERS(input): options of a slot that gets its disk later
TEST(options_given_with_the_disk_come_after_the_slots_or_are_refused) {
  TempDir directory;
  const std::string path = directory.file("disk", kMiB);
  const std::string_view slot =
      "writeback,sectorsize=512/4096,discard=64:4:8,mq=2,iothread,queue_size=128,range=0/8,kick=loop";
  for (const char* refused :
       {"writethru", "ro", "sectorsize=4096", "sectorsize=512", "discard", "discard=64:4:16", "mq=1", "mq=4",
        "iothread=2", "iothread=1@0", "queue_size=64", "kick=inline", "kick=auto"}) {
    row(refused, [&] {
      Configured configured(concat("9,virtio-blk,nodisk,", slot));
      const auto rescanned = configured.rescan(concat(path, ",", refused));
      EXPECT(!rescanned.ok());
      EXPECT_CONTAINS(rescanned.error().message, concat("blkrescan 0:9:0: ", refused, ": "));
      EXPECT_CONTAINS(rescanned.error().message, ": settled by the slot's -s");
      must(configured.rescan(path));
    });
  }
  Configured configured(concat("9,virtio-blk,nodisk,", slot));
  must(configured.rescan(concat(path, ",", slot, ",range=8/32,serial=OTHER,aio=threads,lock=off,no_bst_block")));
  RawGuest guest = must(RawGuest::start(*configured.machine, configured.slot.address, kNoEventIndex));
  EXPECT_EQ(guest.capacity(), 32u);
}

TEST(a_bridge_is_no_disk) {
  Configured configured("0,hostbridge");
  EXPECT(configured.device->disk() == nullptr);
  EXPECT(!RawGuest::start(*configured.machine, configured.slot.address).ok());
}

}  // namespace
}  // namespace acrn
