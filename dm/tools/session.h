// Session: the board, the functions that the command line configured, and drivers for them: what every vblk
// command works with. One thread composes and ends it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dm/devices/device.h"
#include "dm/event/epoll_loop.h"
#include "dm/loopback/legacy_driver.h"
#include "dm/mem/guest_ram.h"

namespace acrn {

struct SessionOptions {
  std::vector<std::string> slots;    // each as -s has it
  std::vector<std::string> connect;  // disks that others serve, as --connect has it; behind those of the slots
  InterruptMode interrupts = InterruptMode::kMsix;
  bool event_index = true;
  bool indirect = true;
  bool single_msi = false;             // --virtio_msi
  bool windows = false;                // --windows
  uint64_t ram = uint64_t{256} << 20;  // bytes

  // The driver's options that follow from these.
  DriverOptions driver() const;
};

class Session {
 public:
  // Parses, opens, connects and attaches everything. `disks`: how many the command needs.
  static Result<std::unique_ptr<Session>> open(const SessionOptions& options, size_t disks);

  LoopbackMachine& machine() { return *machine_; }
  const PciSlotConfig& slot(size_t disk) const { return slots_[disk]; }
  const BlockOptions& options(size_t disk) const { return std::get<BlockOptions>(slots_[disk].options); }
  Device& device(size_t disk) { return *devices_[disk]; }
  Result<std::unique_ptr<LegacyDriver>> drive(size_t disk, const DriverOptions& options) {
    return LegacyDriver::start(*machine_, slots_[disk].address, options);
  }

 private:
  Session() = default;

  Result<void> make_machine(const SessionOptions& options);
  void attach(PciAddress address, std::unique_ptr<Device> device);
  Result<void> add_remote(const std::string& text, const DeviceEnvironment& environment);

  std::optional<MemoryRegion> shared_;  // while others serve disks, and see it
  std::unique_ptr<LoopbackMachine> machine_;
  std::unique_ptr<EpollLoop> loop_;
  std::vector<PciSlotConfig> slots_;
  std::vector<std::unique_ptr<Device>> devices_;
};

// A status byte in words; nothing for OK.
std::string status_text(uint8_t status);
// "9:0 (disk.img)": for messages.
std::string disk_name(const PciSlotConfig& slot);

}  // namespace acrn
