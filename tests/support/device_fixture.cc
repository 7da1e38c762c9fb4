#include "tests/support/device_fixture.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <latch>
#include <thread>

#include "dm/base/log_setup.h"
#include "dm/block/open.h"
#include "dm/block/submit_queue.h"
#include "dm/mem/bus_errors.h"

namespace acrn::test {
namespace {

class MemoryChannel final : public BlockChannel {
 public:
  explicit MemoryChannel(MemoryDisk& disk) : disk_(disk) {}

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) {
      request.error = disk_.execute(request);
      request.sink->request_done(request);
    });
  }

 private:
  MemoryDisk& disk_;
  SubmitQueue incoming_;
};

// Mistakes are what these tests are made of; they need not fill the console.
void quiet() {
  static const bool done = setup_logging({.console = 1}, "").ok();
  expect(done, "setup_logging", __FILE__, __LINE__);
}

// ACRN_TEST_LOOP=borrowable: kicks are served on the thread that makes them, and loops poll, as in a real program.
LoopOptions loop_options() {
  const char* const kind = std::getenv("ACRN_TEST_LOOP");
  if (kind == nullptr || std::string_view(kind) != "borrowable") return {};
  return {.longest_poll = std::chrono::microseconds(50), .allow_borrow = true};
}

// ACRN_TEST_AIO=io_uring: for disks whose options leave the engine open.
BlockEngine engine_wanted(BlockEngine option) {
  const char* const engine = std::getenv("ACRN_TEST_AIO");
  if (engine == nullptr || option != BlockEngine::kAuto) return option;
  return std::string_view(engine) == "io_uring" ? BlockEngine::kIoUring : BlockEngine::kThreads;
}

}  // namespace

MemoryDisk::MemoryDisk(const BlockInfo& info) : info_(info), next_size_(info.size), bytes_(info.size) {
  for (size_t i = 0; i < bytes_.size(); i++) bytes_[i] = pattern(i);
}

BlockInfo MemoryDisk::info() const {
  MutexLock lock(mutex_);
  return info_;
}

Result<std::unique_ptr<BlockChannel>> MemoryDisk::open_channel(EventLoop&, unsigned) {
  return std::unique_ptr<BlockChannel>(std::make_unique<MemoryChannel>(*this));
}

Result<uint64_t> MemoryDisk::refresh_size() {
  MutexLock lock(mutex_);
  return info_.size = next_size_;
}

void MemoryDisk::set_size(uint64_t bytes) {
  MutexLock lock(mutex_);
  next_size_ = bytes;
}

void MemoryDisk::set_hook(std::function<void(const BlockRequest&)> hook) {
  MutexLock lock(mutex_);
  hook_ = std::move(hook);
}

std::vector<MemoryDisk::Seen> MemoryDisk::take_seen() {
  MutexLock lock(mutex_);
  return std::exchange(seen_, {});
}

std::vector<std::byte> MemoryDisk::content() const {
  MutexLock lock(mutex_);
  return bytes_;
}

bool MemoryDisk::untouched(uint64_t begin, uint64_t end) const {
  const std::vector<std::byte> bytes = content();
  for (uint64_t i = begin; i < end; i++) {
    if (bytes[i] != pattern(i)) return false;
  }
  return true;
}

int MemoryDisk::execute(const BlockRequest& request) {
  MutexLock lock(mutex_);
  if (hook_) hook_(request);
  seen_.push_back({request.op, request.stable, request.may_unmap, request.offset, request.length});
  if (request.op == BlockOp::kFlush) return 0;
  if (request.offset > bytes_.size() || request.length > bytes_.size() - request.offset) return EIO;
  if (request.op == BlockOp::kRead || request.op == BlockOp::kWrite) return copy(request);
  std::memset(bytes_.data() + request.offset, 0, request.length);
  return 0;
}

int MemoryDisk::copy(const BlockRequest& request) {
  std::byte* at = bytes_.data() + request.offset;
  for (const iovec& piece : request.iov) {
    if (request.op == BlockOp::kRead) {
      std::memcpy(piece.iov_base, at, piece.iov_len);
    } else {
      std::memcpy(at, piece.iov_base, piece.iov_len);
    }
    at += piece.iov_len;
  }
  return 0;
}

namespace {

std::shared_ptr<const MemoryMap> map_of(LoopbackMachine& machine, const FixtureOptions& options) {
  auto map = machine.memory().map();
  if (!options.hole) return map;
  std::vector<GpaRange> unreachable;
  if (options.hole_is_ram) unreachable.push_back({DeviceFixture::kHole, kMiB});
  const MemoryRegion& ram = map->regions()[0];
  const uint64_t below = raw(DeviceFixture::kHole) - raw(ram.base), above = below + kMiB;
  return std::make_shared<const MemoryMap>(
      std::vector<MemoryRegion>{{ram.base, below, ram.host, ram.owner},
                                {Gpa{raw(ram.base) + above}, ram.size - above, ram.host + above, ram.owner}},
      std::move(unreachable));
}

}  // namespace

DeviceFixture::DeviceFixture(FixtureOptions options) {
  quiet();
  machine_ = must(LoopbackMachine::create(options.ram));
  memory_ = std::make_unique<GuestMemory>(map_of(*machine_, options));
  const MemoryRegion& last = machine_->memory().map()->regions().back();
  ram_end_ = Gpa{raw(last.base) + last.size};
  std::vector<EventLoop*> loops;
  for (unsigned i = 0; i < options.loops; i++) {
    loops_.push_back(must(EpollLoop::create("bench", {}, options.loop.value_or(loop_options()))));
    loops.push_back(loops_.back().get());
  }
  auto device = must(VirtioBlk::create(options.device, *memory_, guest_errors_, std::move(loops)));
  device_ = device.get();
  function_ = std::make_unique<VirtioPciLegacy>(std::move(device), options.pci, guest_errors_, machine_->pin(kAddress),
                                                machine_->msi());
  machine_->bus().attach(kAddress, *function_);
  if (!options.attached) return;
  if (options.backend == nullptr) {
    auto disk = std::make_unique<MemoryDisk>(options.medium);
    disk_ = disk.get();
    options.backend = std::move(disk);
  }
  attach(std::move(options.backend));
}

DeviceFixture::~DeviceFixture() {
  faults_->release();  // a test that failed may have left requests held
}

void DeviceFixture::attach(std::unique_ptr<BlockBackend> backend) {
  must(device_->attach(make_filter_fault(std::move(backend), faults_), kSerial));
}

RawGuest DeviceFixture::guest(uint64_t features, InterruptMode interrupts) {
  return must(RawGuest::start(*machine_, kAddress, features, interrupts));
}

std::unique_ptr<LegacyDriver> DeviceFixture::driver(const DriverOptions& options) {
  return must(LegacyDriver::start(*machine_, kAddress, options));
}

void DeviceFixture::settle() {
  // The second run() is posted after the first has been served, so behind every doorbell that was rung before
  // us.
  for (int i = 0; i < 2; i++) {
    for (auto& loop : loops_) loop->run([] {});
  }
}

void DeviceFixture::wait_until_asleep() {
  for (auto& loop : loops_) {
    EXPECT(wait_until([&] { return static_cast<bool>(loop->try_borrow()); }));
  }
}

Guarded::Guarded(RawGuest& guest, uint32_t bytes, uint8_t fill) : bytes_(bytes), fill_(fill) {
  const Gpa whole = guest.memory(bytes + 2 * kCanary, 64);
  gpa_ = Gpa{raw(whole) + kCanary};
  memory_ = guest.at(whole, bytes + 2 * kCanary);
  for (uint32_t i = 0; i < memory_.size(); i++) {
    memory_.store(i, i < kCanary || i >= kCanary + bytes ? uint8_t{0xc3} : fill);
  }
}

std::vector<std::byte> Guarded::content() const {
  std::vector<std::byte> copy(bytes_);
  memory_.copy_out(kCanary, copy.data(), copy.size());
  return copy;
}

bool Guarded::holds(uint8_t value) const { return content() == filled(bytes_, value); }

bool Guarded::canaries_intact() const {
  for (uint32_t i = 0; i < kCanary; i++) {
    if (memory_.load<uint8_t>(i) != 0xc3 || memory_.load<uint8_t>(kCanary + bytes_ + i) != 0xc3) return false;
  }
  return true;
}

void Guarded::refill(uint8_t value) {
  fill_ = value;
  memory_.copy_in(kCanary, filled(bytes_, value).data(), bytes_);
}

bool Guarded::holds_disk(uint64_t offset) const {
  const auto bytes = content();
  for (size_t i = 0; i < bytes.size(); i++) {
    if (bytes[i] != pattern(offset + i)) return false;
  }
  return true;
}

ReadyRequest ready_request(RawGuest& guest, uint16_t head, uint32_t type, uint64_t sector, uint32_t bytes,
                           uint8_t fill) {
  ReadyRequest ready{head, guest.status(), Guarded(guest, bytes, fill)};
  const bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
  std::vector<VringDesc> list{
      {raw(guest.header(type, sector)), uint32_t{sizeof(VirtioBlkOuthdr)}, VRING_DESC_F_NEXT, uint16_t{1}}};
  if (bytes != 0) {
    const int flags = VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0);
    list.push_back({raw(ready.data.gpa()), bytes, static_cast<uint16_t>(flags), uint16_t{2}});
  }
  list.push_back({raw(ready.status), uint32_t{1}, VRING_DESC_F_WRITE, uint16_t{0}});
  const auto length = static_cast<uint32_t>(list.size() * sizeof(VringDesc));
  const Gpa table = guest.memory(length);
  guest.at(table, length).copy_in(0, list.data(), length);
  guest.set(head, table, length, VRING_DESC_F_INDIRECT);
  return ready;
}

std::vector<VringUsedElem> reap(RawGuest& guest, size_t count) {
  std::vector<VringUsedElem> all;
  while (all.size() < count) {
    const auto used = guest.next_used();
    expect(used.has_value(),
           "only " + std::to_string(all.size()) + " of " + std::to_string(count) + " chains came back", __FILE__,
           __LINE__);
    all.push_back(*used);
  }
  return all;
}

void expect_serves(RawGuest& guest) {
  static uint8_t value = 0;
  const bool read_only = (guest.offered() & feature(VIRTIO_BLK_F_RO)) != 0;
  const auto written = filled(kSector, ++value);
  auto data = written;
  if (!read_only) {
    const auto wrote = guest.request(VIRTIO_BLK_T_OUT, 1, data);
    EXPECT(wrote.has_value());
    EXPECT_EQ(wrote->status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(wrote->written, 1u);
  }
  data = filled(kSector, 0xee);
  const auto read = guest.request(VIRTIO_BLK_T_IN, 1, data);
  EXPECT(read.has_value());
  EXPECT_EQ(read->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(read->written, kSector + 1);
  EXPECT(read_only || data == written);
  const auto flushed = guest.flush();
  EXPECT(flushed.has_value());
  EXPECT_EQ(flushed->status, VIRTIO_BLK_S_OK);
}

void expect_serves_after_restart(RawGuest& guest, uint64_t features) {
  must(guest.restart(features));
  expect_serves(guest);
}

std::vector<std::byte> filled(size_t bytes, uint8_t value) { return std::vector<std::byte>(bytes, std::byte{value}); }

std::unique_ptr<BlockBackend> open_backend(const BlockOptions& wanted) {
  catch_bus_errors();  // as in acrn-dm
  BlockOptions options = wanted;
  options.engine = engine_wanted(options.engine);
  auto opened = open_disk(options, "0:3:0");
  if (!opened && (options.nocache || options.engine == BlockEngine::kIoUring)) SKIP(opened.error().message);
  return std::move(must(std::move(opened)).backend);
}

void write_pattern(const std::string& path, uint64_t bytes) {
  std::vector<char> content(bytes);
  for (size_t i = 0; i < bytes; i++) content[i] = static_cast<char>(pattern(i));
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(bytes));
}

std::vector<std::byte> file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

void expect_waits_for_release(FaultPlan& faults, const std::function<void()>& act,
                              const std::function<void()>& meanwhile) {
  constexpr int kYields = 1000;  // what does not wait is back by then
  std::atomic<bool> returned{false};
  std::latch begun(1);
  std::thread other([&] {
    begun.count_down();
    act();
    returned = true;
  });
  begun.wait();
  meanwhile();
  for (int i = 0; i < kYields && !returned; i++) std::this_thread::yield();
  const bool early = returned;
  faults.release();
  other.join();
  EXPECT(!early);
}

}  // namespace acrn::test
