// ControlTarget: what the control socket may do to a running machine. Runner implements it. Calls come one at a
// time on the control socket's loop, which serves no device, so they may block until the work is done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/pci/pci_function.h"
#include "dm/devices/device_report.h"
#include "dm/devices/slot.h"

namespace acrn {

struct MachineStatus {
  std::string vm_name, uuid;
  bool paused = false;
};

class ControlTarget {
 public:
  // Gives a `nodisk` slot its disk.
  virtual Result<void> blkrescan(const RescanRequest& request) = 0;
  // Follows the size of a served file; returns bytes.
  virtual Result<uint64_t> resize(PciAddress address) = 0;
  // The limits of the disk in that slot, once the changes are made, see parse_limits().
  virtual Result<DiskLimits> limits(PciAddress address, std::span<const std::string> changes) = 0;
  // Whether the driver of the disk in that slot is traced from now on.
  virtual Result<void> trace(PciAddress address, bool on) = 0;
  // A text in the log of writes of the disk in that slot, at this moment.
  virtual Result<void> mark(PciAddress address, const std::string& text) = 0;
  virtual std::vector<DeviceReport> stats() = 0;
  // Both are done when they return, and nothing happens if it is so already.
  virtual Result<void> pause() = 0;
  virtual Result<void> resume() = 0;
  // Asks the machine to end and returns at once.
  virtual void stop() = 0;
  virtual MachineStatus status() = 0;

 protected:
  ~ControlTarget() = default;
};

}  // namespace acrn
