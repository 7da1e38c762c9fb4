// The hypervisor seam: guest RAM, virtual CPUs, their exits, and ways to interrupt them. Implemented by
// dm/hypervisor/*, used by the machine. The interrupt controllers (local APIC, I/O APIC, PIC) are the hypervisor's.
//
// Threads: the machine's control thread makes, starts, pauses, resets and destroys. Interrupts and doorbells: any
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"

namespace acrn {

// What a machine has to know of its hypervisor.
struct HypervisorTraits {
  unsigned vcpus = 1;  // that the VM has
  // Global system interrupts that INTA# to INTD# of the PCI slots are wired to in turn. One below 16 is an input of the
  // PIC too, and level-triggered, active high; others are active low. ACPI says so.
  std::array<uint8_t, 3> pci_lines{5, 10, 11};
  bool has_timer = true;         // an 8254 of its own
  bool enters_long_mode = true;  // false: a kernel starts at its 32-bit entry, even where it has another one
  bool resumes = true;           // what was paused can go on; else only a reset follows
  bool pins_ram = false;         // page by page: RAM is a memfd, of huge pages if there are any
};

// Where exits of the virtual CPUs go. On the thread of the virtual CPU, or on the one that serves them all;
// several at a time. Unclaimed reads are all ones, unclaimed writes are dropped.
class ExitHandler {
 public:
  virtual uint32_t io_read(uint16_t port, unsigned size) = 0;  // size 1, 2 or 4 bytes
  virtual void io_write(uint16_t port, unsigned size, uint32_t value) = 0;
  virtual uint64_t memory_read(uint64_t address, unsigned size) = 0;  // size 1..8 bytes
  virtual void memory_write(uint64_t address, unsigned size, uint64_t value) = 0;
  // For a hypervisor that decodes ports 0xcf8 and 0xcfc itself.
  virtual uint32_t config_read(PciAddress function, unsigned offset, unsigned size) = 0;
  virtual void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) = 0;

  // The virtual CPU shut itself down (a triple fault): a PC resets.
  virtual void cpu_shutdown() = 0;
  // The hypervisor cannot run a virtual CPU any more. `what`: one line.
  virtual void cpu_failed(std::string what) = 0;

 protected:
  ~ExitHandler() = default;
};

// The bootstrap processor as it enters a kernel: flat segments, interrupts off. The structures that it points to are in
// guest RAM.
struct BootState {
  bool long_mode = false;    // 64-bit with paging by `page_tables`; else 32-bit protected mode without
  uint64_t instruction = 0;  // entry point
  uint64_t stack = 0;
  uint64_t rax = 0, rbx = 0, rsi = 0;  // what the boot protocol passes
  uint64_t page_tables = 0;            // CR3
  uint64_t descriptors = 0;            // GDT; its entries are numbered by the selectors below
  uint16_t descriptors_limit = 0;
  uint16_t code_selector = 0, data_selector = 0;
};

// A write of `data`, `size` bytes long, to an I/O port that signals an eventfd without an exit.
struct Doorbell {
  uint16_t port = 0;
  unsigned size = 0;
  uint32_t data = 0;
  int event_fd = -1;
  friend bool operator==(const Doorbell&, const Doorbell&) = default;
};

class DoorbellSink {
 public:
  // False: this one cannot be had, and its writes come as exits. It is to be removed all the same.
  virtual bool add_doorbell(const Doorbell& doorbell) = 0;
  virtual void remove_doorbell(const Doorbell& doorbell) = 0;

 protected:
  ~DoorbellSink() = default;
};

class Hypervisor : public MsiSink, public DoorbellSink {
 public:
  virtual ~Hypervisor() = default;

  virtual HypervisorTraits traits() const = 0;

  // Before the first start.
  virtual Result<void> map_ram(const MemoryRegion& region) = 0;

  // Lets the virtual CPUs run: the first one as `boot` says, the others as they wait for a start-up message.
  virtual Result<void> start(const BootState& boot, ExitHandler& exits) = 0;
  // Returns when no virtual CPU runs or handles an exit. They go on with resume(), where traits() says so.
  virtual void pause() = 0;
  virtual void resume() = 0;
  // Everything as at power-on but RAM: virtual CPUs, interrupt controllers, timers; doorbells are gone. Ends
  // the virtual CPUs' run as pause() does; start() follows.
  virtual Result<void> reset() = 0;
  // Ends the virtual CPUs for good.
  virtual void stop() = 0;

  // An input of the interrupt controllers, by its global system interrupt number. The last call counts.
  virtual void set_irq(unsigned gsi, bool asserted) = 0;
};

}  // namespace acrn
