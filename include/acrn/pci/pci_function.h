// The PCI seam: what a machine, the loopback guest or a server for another VMM sees of one PCI function.
// Any thread may call any member; a function does its own locking.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace acrn {

struct PciAddress {
  uint8_t bus = 0, slot = 0, function = 0;
  friend bool operator==(const PciAddress&, const PciAddress&) = default;
};

// The function's INTA# wire. A level: the last call counts. Calls come one at a time.
class IrqPin {
 public:
  virtual void set_level(bool asserted) = 0;

 protected:
  ~IrqPin() = default;
};

// Where MSI and MSI-X writes go. Any thread.
class MsiSink {
 public:
  virtual void send(uint64_t address, uint32_t data) = 0;

 protected:
  ~MsiSink() = default;
};

enum class BarKind : uint8_t { kAbsent, kIo, kMemory32 };

struct BarShape {
  BarKind kind = BarKind::kAbsent;
  uint32_t size = 0;  // bytes, a power of two
};

// A register that does nothing but start work: writing `data` to it, `size` bytes wide, is the same as a signal of
// `event_fd`, so a hypervisor may do that without an exit; -1: it is to be an exit.
struct BarDoorbell {
  unsigned bar = 0;
  uint32_t offset = 0;  // bytes from the BAR's start
  unsigned size = 0;    // bytes
  uint32_t data = 0;
  int event_fd = -1;
};

inline constexpr unsigned kPciBars = 6;
inline constexpr unsigned kPciConfigSize = 256;  // bytes

class PciFunction {
 public:
  virtual ~PciFunction() = default;

  // Configuration space: size 1, 2 or 4 bytes, anything inside 256 bytes; outside, reads are all ones and
  // writes are dropped (PCI 3.0 3.2.2.3).
  virtual uint32_t config_read(unsigned offset, unsigned size) = 0;
  virtual void config_write(unsigned offset, unsigned size, uint32_t value) = 0;

  virtual BarShape bar_shape(unsigned bar) const = 0;
  // Where the BAR answers now; nothing while the command register has its decoding off.
  virtual std::optional<uint64_t> bar_address(unsigned bar) const = 0;

  // An access to a BAR: size 1, 2, 4 or 8 bytes at any offset; outside the BAR as for configuration space.
  virtual uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) = 0;
  virtual void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) = 0;

  // The same for the function's whole life.
  virtual std::vector<BarDoorbell> doorbells() const { return {}; }

  // RST#: configuration space and device as at power-on. Returns when nothing is in flight.
  virtual void reset() = 0;

  // Guest memory is about to change under a function that may be using it: runs `change` while nothing is in flight,
  // and goes on with the memory as it is then. Not on a loop of the function; `change` does not call it.
  virtual void change_memory(const std::function<void()>& change) { change(); }
};

}  // namespace acrn
