// Machine: the board that a guest runs on. RAM, buses, interrupt lines, and the way a kernel is started on them; what
// is plugged in belongs to others.
//
// Threads: made, booted, paused, reset and destroyed by the control thread; the vCPUs' exits come on threads of the
// hypervisor.
#pragma once

#include <memory>
#include <string>

#include "acrn/mem/guest_memory.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/power_control.h"
#include "acrn/vm/hypervisor.h"
#include "dm/boot/boot_image.h"
#include "dm/machine/acpi.h"
#include "dm/machine/io_bus.h"
#include "dm/machine/irq_lines.h"
#include "dm/machine/pci_bus.h"

namespace acrn {

class Machine final : private ExitHandler {
 public:
  struct Options {
    RamLayout ram;
    bool shared_ram = false;   // other processes are to see it
    uint8_t serial_ports = 0;  // bit n: there is a COM(n+1)
  };
  // Where the board's own events go. Any thread.
  struct Events {
    PowerControl& control;
    std::function<void(std::string)> cpu_failed;  // one line
  };

  static Result<std::unique_ptr<Machine>> create(const Options& options, std::unique_ptr<Hypervisor> hypervisor,
                                                 Events events);
  ~Machine();

  const HypervisorTraits& traits() const { return traits_; }
  const GuestMemory& memory() const { return *memory_; }
  MsiSink& msi() { return *hypervisor_; }
  IrqPin& pci_pin(PciAddress address);
  IrqPin& isa_pin(unsigned irq) { return irqs_.wire(irq); }
  // What is plugged in outlives the machine's vCPUs: stop() first.
  void attach(PciAddress address, PciFunction& function) { pci_.attach(address, function); }
  void attach(uint16_t first_port, uint16_t ports, PortDevice& device) { io_.attach(first_port, ports, device); }

  // Sets up the board as firmware does, loads the kernel and runs it.
  Result<void> boot(const BootImage& kernel);
  void pause() { hypervisor_->pause(); }
  void resume() { hypervisor_->resume(); }
  // Everything as at power-on, and nothing in flight; boot() follows.
  Result<void> reset();
  // Ends the vCPUs and resets the functions: no more access of a device to RAM.
  void stop();

 private:
  Machine(const Options& options, std::unique_ptr<Hypervisor> hypervisor, Events events);

  uint32_t io_read(uint16_t port, unsigned size) override;
  void io_write(uint16_t port, unsigned size, uint32_t value) override;
  uint64_t memory_read(uint64_t address, unsigned size) override;
  void memory_write(uint64_t address, unsigned size, uint64_t value) override;
  uint32_t config_read(PciAddress function, unsigned offset, unsigned size) override;
  void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) override;
  void cpu_shutdown() override { events_.control.request_reset(); }
  void cpu_failed(std::string what) override { events_.cpu_failed(std::move(what)); }

  const Options options_;
  Events events_;
  std::unique_ptr<Hypervisor> hypervisor_;
  const HypervisorTraits traits_;
  std::shared_ptr<const MemoryMap> map_;
  std::unique_ptr<GuestMemory> memory_;
  IrqLines irqs_;
  IoBus io_;
  PciBus pci_;
};

}  // namespace acrn
