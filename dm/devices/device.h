// What `-s` can name, and what becomes of it: a device is one row of a table (device_table.h), and while it runs one
// Device.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/block/disk_map.h"
#include "acrn/block/disk_stats.h"
#include "acrn/event/event_loop.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/block/filters/throttle_group.h"
#include "dm/block/open.h"
#include "dm/devices/slot.h"
#include "dm/event/epoll_loop.h"

namespace acrn {

// For loops of queues. The longest poll is about what it takes two threads to wake each other.
inline constexpr LoopOptions kQueueLoop{
    .longest_poll = std::chrono::microseconds(100), .allow_borrow = true, .kind = Thread::Kind::kQueue};

// Options of the command line that shape every virtio function.
struct VirtioOptions {
  bool single_msi = false;                        // --virtio_msi
  bool windows = false;                           // --windows
  std::optional<uint32_t> poll_nanoseconds = {};  // --virtio_poll
};

// The limits of a slot: of its group in `groups`, if it names one there.
inline std::shared_ptr<ThrottleGroup> find_throttle(ThrottleGroups* groups, const BlockOptions& options) {
  if (groups != nullptr) return groups->find(options.throttle_group, options.limits);
  return std::make_shared<ThrottleGroup>(options.limits);
}

// What a machine or a server gives a PCI device to live on. All of it outlives the device.
struct DeviceEnvironment {
  const GuestMemory& memory;
  MsiSink& msi;
  EventLoop& shared_loop;  // for queues without iothreads
  VirtioOptions virtio = {};
  LoopOptions queue_loop = kQueueLoop;   // of iothreads
  ThrottleGroups* throttles = nullptr;   // null: slots share no limits
  DeviceEvents* events = nullptr;        // who is told what goes wrong
  void (*confine_recorder)() = nullptr;  // what the process gives up that writes a trace; null: nothing
};

// What only a disk can do.
class DiskControl {
 public:
  // One for each queue. Any thread.
  virtual std::vector<QueueStats> stats() const = 0;
  virtual const GuestErrors& guest_errors() const = 0;
  // Bytes; 0 without a disk. Any thread.
  virtual uint64_t size() const = 0;
  // Gives a `nodisk` slot its disk: <path>[,opt...], see parse_rescan_options(). `file`: the descriptor that `fd:` as
  // the path stands for, which stays the caller's; -1: none.
  virtual Result<void> rescan(std::span<const std::string> disk, int file) = 0;
  // Follows the size of the served file; returns bytes.
  virtual Result<uint64_t> resize() = 0;
  // Returns when everything that the guest has written is on stable storage; at once for a slot without a disk and a
  // read-only one. Not on a loop that serves the device.
  virtual Result<void> flush() = 0;
  // Its limits, which hold from when they are set. Any thread.
  virtual ThrottledDisk& throttled() = 0;
  // Tries again what is held of failed requests (ErrorPolicy). Not on a loop that serves the device.
  virtual void retry_held() = 0;
  // Whether what the driver does is traced from now on. Errors: kUsage: without trace= it never is.
  virtual Result<void> set_trace(bool on) = 0;
  // A text in its log of writes at this moment. Errors: kUsage: without log= there is none.
  virtual Result<void> mark(std::string_view text) = 0;

 protected:
  ~DiskControl() = default;
};

// What a virtio device without PCI lives on. All of it outlives the device.
struct VirtioEnvironment {
  const GuestMemory& memory;
  EventLoop& shared_loop;                // for queues without iothreads
  LoopOptions queue_loop = kQueueLoop;   // of iothreads
  uint32_t poll_nanoseconds = 0;         // see VirtioBlkOptions
  ThrottleGroups* throttles = nullptr;   // null: slots share no limits
  DeviceEvents* events = nullptr;        // who is told what goes wrong
  void (*confine_recorder)() = nullptr;  // see DeviceEnvironment
};

inline Error no_log(const std::string& slot) {
  return {ErrorKind::kUsage, "mark " + slot + ": it has no log of writes; start it with log=<file>"};
}

// What runs in one slot, with all that serves it. Created and destroyed by the composing thread.
class SlotDevice {
 public:
  virtual ~SlotDevice() = default;
  // What it serves, as the user wrote it, like "disk.img" or "nodisk"; empty if it serves nothing. Any thread.
  virtual std::string source() const { return ""; }
  // Null if it is no disk.
  virtual DiskControl* disk() { return nullptr; }
};

// With a PCI function, for a machine, or a VMM that takes one.
class Device : public SlotDevice {
 public:
  virtual PciFunction& function() = 0;
};

// A virtio device alone, for a VMM that has PCI of its own.
class BareDevice : public SlotDevice {
 public:
  virtual VirtioDevice& virtio() = 0;
  virtual GuestErrors& guest_errors() = 0;
};

// A disk alone, for a server that needs no device.
class BareDisk : public SlotDevice {
 public:
  virtual BlockBackend& backend() = 0;
  // What is known of its zeroes, for the loop; null: nothing.
  virtual DiskMap* map() { return nullptr; }
  virtual const BlockOptions& options() const = 0;
};

// What a guest will read of a PCI function: known without opening anything.
struct PciFunctionInfo {
  uint16_t vendor = 0, device = 0;
  uint32_t class_code = 0;  // 0xBBSSPP
  uint16_t subsystem_vendor = 0, subsystem = 0;
  uint64_t features = 0;  // virtio feature bits offered
  std::array<BarShape, kPciBars> bars{};
};

// What is known of a device before it is made. Nothing is opened for writing, created or locked.
struct DeviceFacts {
  PciFunctionInfo function;
  std::optional<DiskFacts> disk;  // of a disk
  DiscardLimits discard;          // of one that offers it, as its guest will read them
};

// A device that `-s <slot>,<name>[,<options>]` can name.
struct DeviceRow {
  std::string_view name;
  // The text after the name, split at commas, as a value. Nothing is opened. Errors: kUsage. Null: it takes no options.
  Result<SlotOptions> (*parse)(std::span<const std::string> fields) = nullptr;
  // What the options say it serves, for messages. Null: it serves nothing.
  std::string (*describe)(const SlotOptions& options) = nullptr;
  // What the slot's number of vCPUs does not allow. Errors: kUsage. Null: everything is allowed.
  Result<void> (*check_vcpus)(const SlotOptions& options, unsigned vcpus) = nullptr;
  Result<DeviceFacts> (*inspect)(const PciSlotConfig& slot, const VirtioOptions& virtio) = nullptr;
  // Opens what the slot names. `pin` outlives the device.
  Result<std::unique_ptr<Device>> (*create)(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                            IrqPin& pin) = nullptr;
  // The same without a PCI function. Null: there is no such.
  Result<std::unique_ptr<BareDevice>> (*create_bare)(const PciSlotConfig& slot,
                                                     const VirtioEnvironment& environment) = nullptr;
  // The disk alone; what is asked of it goes over that loop. Null: there is no such.
  Result<std::unique_ptr<BareDisk>> (*create_disk)(const PciSlotConfig& slot, EventLoop& loop,
                                                   ThrottleGroups* throttles, DeviceEvents* events) = nullptr;
  // Adds what `--dry_run` says of it to the slot's JSON. Null: there is nothing to add.
  void (*to_json)(const PciSlotConfig& slot, const DeviceFacts& facts, nlohmann::ordered_json& json) = nullptr;
  bool servable = false;           // by --serve
  std::string_view only_one = {};  // how messages call it, if a machine has at most one
  std::string_view help = {};      // for the manual: one line, that begins with a small letter and has no period
};

}  // namespace acrn
