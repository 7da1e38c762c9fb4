// The registry: makes a PCI function out of what `-s` says. With main.cc the only place that knows both worlds,
// what a guest sees (hw/) and the host beneath it (dm/).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/disk_stats.h"
#include "acrn/event/event_loop.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "acrn/platform/board_control.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/serial_line.h"
#include "acrn/virtio/guest_rules.h"
#include "dm/block/open.h"
#include "dm/devices/slot.h"
#include "dm/event/epoll_loop.h"

namespace acrn {

// For loops of queues. The longest poll is about what it takes two threads to wake each other.
inline constexpr LoopHabits kQueueLoop{.longest_poll = std::chrono::microseconds(50), .lends = true};

// What a machine offers its functions. All of it outlives them.
struct MachineServices {
  const GuestMemory& memory;
  MsiSink& msi;
  EventLoop& shared_loop;                         // for queues without iothreads
  bool single_msi = false;                        // --virtio_msi
  bool windows = false;                           // --windows
  std::optional<uint32_t> poll_nanoseconds = {};  // --virtio_poll
  LoopHabits queue_loop = kQueueLoop;             // of iothreads
};

// Which function it is, for whoever looks at the running machine.
struct FunctionDescription {
  std::string slot;       // "0:9:0"
  std::string emulation;  // "virtio-blk"
  std::string source;     // as the user wrote it: a path, "ram:<bytes>" or "nodisk"; empty for a bridge
};

// One configured function with all that serves it. Created and destroyed by the composing thread.
class ConfiguredFunction {
 public:
  virtual ~ConfiguredFunction() = default;
  virtual PciFunction& function() = 0;
  virtual FunctionDescription describe() const = 0;  // any thread
  // One for each queue; none for a bridge. Any thread.
  virtual std::vector<QueueStats> stats() const = 0;
  // Null for a bridge.
  virtual const GuestMistakes* mistakes() const = 0;
  // Gives a `nodisk` slot its disk: <path>[,opt...], see parse_rescan_options().
  virtual Result<void> rescan(std::span<const std::string> disk) = 0;
  // Follows the size of the served file; returns bytes.
  virtual Result<uint64_t> resize() = 0;
  // Returns when everything that the guest has written is on stable storage; at once for a bridge, a slot without a
  // disk, and a read-only one. Not on a loop that serves the function.
  virtual Result<void> flush() = 0;
};

// What a guest will read of a function: known without opening anything.
struct FunctionFace {
  uint16_t vendor = 0, device = 0;
  uint32_t class_code = 0;  // 0xBBSSPP
  uint16_t subsystem_vendor = 0, subsystem = 0;
  uint64_t features = 0;  // virtio feature bits offered
  std::array<BarShape, kPciBars> bars{};
};

// What is known of a function before it is made. Nothing is opened for writing, created or locked.
struct FunctionFacts {
  FunctionFace face;
  std::optional<DiskFacts> disk;  // of a virtio-blk slot
  DiscardLimits discard;          // of one that offers it, as its guest will read them
};
Result<FunctionFacts> inspect_function(const PciSlotConfig& slot, bool windows, bool single_msi);

Result<std::unique_ptr<ConfiguredFunction>> create_function(const PciSlotConfig& slot, const MachineServices& services,
                                                            IrqPin& pin);

// A device of the board and where it is.
struct BoardDevice {
  uint16_t first_port = 0, ports = 0;
  std::unique_ptr<PortDevice> device;
};
// For a timer of our own; both outlive it.
struct PitServices {
  EventLoop& loop;  // runs what interrupts; a late one makes late interrupts
  IrqPin& pin;      // the timer's input of the interrupt controllers
};
// Clock, reset and power, the debug exit if it is asked for, and the timer if the hypervisor has none. The control
// outlives them.
Result<std::vector<BoardDevice>> create_board(bool debug_exit, BoardControl& control,
                                              const std::optional<PitServices>& pit);
// COM1 to COM4. Line and pin outlive the device.
BoardDevice create_uart(unsigned com, SerialLine& line, IrqPin& pin);
inline constexpr unsigned kTimerIrq = 0;
constexpr unsigned uart_irq(unsigned com) { return com % 2 == 1 ? 4 : 3; }

}  // namespace acrn
