// DeviceFixture: a virtio-blk function composed by hand on the loopback board, for tests that look behind it: a
// disk in the test's memory that remembers what reached it, a FaultPlan above that, and the function's own
// count of guest errors. Composed, used and ended by the test's thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/block/block_options.h"
#include "dm/event/epoll_loop.h"
#include "dm/loopback/raw_guest.h"
#include "hw/pci/virtio/virtio_blk.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "tests/support/filter_fault.h"
#include "tests/support/must.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn::test {

inline constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB;
inline constexpr uint32_t kSector = VIRTIO_BLK_SECTOR_SIZE;
inline constexpr uint64_t kAllFeatures = ~uint64_t{0};
// Without the event index a completion is an interrupt, so RawGuest::next_used() need not look twice.
inline constexpr uint64_t kNoEventIndex = ~feature(VIRTIO_RING_F_EVENT_IDX);

// What a disk holds at first at this offset; neighbouring sectors differ.
constexpr std::byte pattern(uint64_t offset) { return static_cast<std::byte>(offset * 7 + offset / kSector * 13 + 1); }

// Requests are carried out inside submit(), one at a time.
class MemoryDisk final : public BlockBackend {
 public:
  struct Seen {
    BlockOp op;
    bool stable, may_unmap;
    uint64_t offset, length;  // bytes
  };

  explicit MemoryDisk(const BlockInfo& info);

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override;

  // What refresh_size() will find. Bytes that the disk did not have at first read as EIO.
  void set_size(uint64_t bytes);
  // Called on the loop before each request is carried out.
  void set_hook(std::function<void(const BlockRequest&)> hook);
  // Requests since the last call.
  std::vector<Seen> take_seen();
  std::vector<std::byte> content() const;
  // True: [begin, end) is as it was at first.
  bool untouched(uint64_t begin, uint64_t end) const;
  bool untouched() const { return untouched(0, content().size()); }

  int execute(const BlockRequest& request);

 private:
  int copy(const BlockRequest& request) ACRN_REQUIRES(mutex_);

  mutable Mutex mutex_;  // leaf, but for the hook
  BlockInfo info_ ACRN_GUARDED_BY(mutex_);
  uint64_t next_size_ ACRN_GUARDED_BY(mutex_);
  std::vector<std::byte> bytes_ ACRN_GUARDED_BY(mutex_);
  std::vector<Seen> seen_ ACRN_GUARDED_BY(mutex_);
  std::function<void(const BlockRequest&)> hook_;
};

struct FixtureOptions {
  VirtioBlkOptions device{};
  VirtioPciOptions pci{};
  BlockInfo medium{.size = 4 * kMiB};
  std::unique_ptr<BlockBackend> backend;  // instead of a MemoryDisk of that shape
  bool attached = true;                   // false: `nodisk`
  bool hole = false;                      // the device sees no RAM at [kHole, kHole + 1 MiB)
  bool hole_is_ram = false;               // and that is the VMM's fault
  uint64_t ram = 64 * kMiB;
  unsigned loops = 1;
  std::optional<LoopOptions> loop;  // of all loops; absent: as ACRN_TEST_LOOP says
};

class DeviceFixture {
 public:
  static constexpr PciAddress kAddress{0, 3, 0};
  static constexpr Gpa kHole{32 * kMiB};
  static constexpr const char* kSerial = "BENCH-0123";

  explicit DeviceFixture(FixtureOptions options = {});
  ~DeviceFixture();
  DeviceFixture(const DeviceFixture&) = delete;
  DeviceFixture& operator=(const DeviceFixture&) = delete;

  LoopbackMachine& machine() { return *machine_; }
  VirtioBlk& device() { return *device_; }
  VirtioPciLegacy& function() { return *function_; }
  MemoryDisk& disk() { return *disk_; }  // when no other backend was given
  FaultPlan& faults() { return *faults_; }
  uint64_t guest_errors(GuestRule rule) const { return guest_errors_.count(rule); }
  Gpa ram_end() const { return ram_end_; }

  RawGuest guest(uint64_t features = kNoEventIndex, InterruptMode interrupts = InterruptMode::kMsix);
  std::unique_ptr<LegacyDriver> driver(const DriverOptions& options = {});
  void attach(std::unique_ptr<BlockBackend> backend);
  // Returns when the loops have looked at every kick and release made before.
  void settle();
  // Returns when every loop sleeps, so that it can be borrowed. Nothing of the test's wakes them.
  void wait_until_asleep();
  // Ends the function, as an operator would.
  void destroy_function() { function_.reset(); }

 private:
  std::unique_ptr<LoopbackMachine> machine_;
  std::unique_ptr<GuestMemory> memory_;  // as the device sees it
  Gpa ram_end_{};
  GuestErrors guest_errors_{"bench"};
  std::shared_ptr<FaultPlan> faults_ = std::make_shared<FaultPlan>();
  std::vector<std::unique_ptr<EpollLoop>> loops_;
  std::unique_ptr<VirtioPciLegacy> function_;
  VirtioBlk* device_ = nullptr;  // inside function_
  MemoryDisk* disk_ = nullptr;   // inside device_
};

// Guest memory between two canaries, filled with one byte value.
class Guarded {
 public:
  Guarded(RawGuest& guest, uint32_t bytes, uint8_t fill = 0x5a);
  Gpa gpa() const { return gpa_; }
  uint32_t bytes() const { return bytes_; }
  std::vector<std::byte> content() const;
  bool holds(uint8_t value) const;  // everywhere
  bool untouched() const { return holds(fill_) && canaries_intact(); }
  bool canaries_intact() const;
  void refill(uint8_t value);
  // True: it holds what a disk has at first at that offset.
  bool holds_disk(uint64_t offset) const;

 private:
  static constexpr uint32_t kCanary = 64;
  Gpa gpa_;
  uint32_t bytes_;
  uint8_t fill_;
  GuestSlice memory_;
};

// A well-framed request of one descriptor (an indirect table), ready to be offered.
struct ReadyRequest {
  uint16_t head;
  Gpa status;
  Guarded data;
};
ReadyRequest ready_request(RawGuest& guest, uint16_t head, uint32_t type, uint64_t sector, uint32_t bytes,
                           uint8_t fill = 0x5a);
// The next `count` used elements; fails when they do not come.
std::vector<VringUsedElem> reap(RawGuest& guest, size_t count);

// Fails unless the device writes, reads back and flushes (reads only, where it offers RO).
void expect_serves(RawGuest& guest);
// The same after reset and set-up.
void expect_serves_after_restart(RawGuest& guest, uint64_t features = kNoEventIndex);

std::vector<std::byte> filled(size_t bytes, uint8_t value);

// The stack that a command line with these options gets. Skips the test where the host cannot do it.
std::unique_ptr<BlockBackend> open_backend(const BlockOptions& wanted);
// A file of the pattern that a MemoryDisk begins with, and what is in it now.
void write_pattern(const std::string& path, uint64_t bytes);
std::vector<std::byte> file_content(const std::string& path);

// Runs `act` on another thread, which the device keeps until the plan's held requests are released; fails if
// it comes back before.
void expect_waits_for_release(
    FaultPlan& faults, const std::function<void()>& act, const std::function<void()>& meanwhile = [] {});

// One row of a table: a failure inside names it.
template <class Body>
void row(const std::string& name, Body&& body) {
  try {
    body();
  } catch (Failure& failure) {
    throw Failure{failure.where, name + ": " + failure.what};
  }
}

}  // namespace acrn::test
