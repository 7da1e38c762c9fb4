#include "dm/machine/machine.h"

#include "dm/machine/pci_setup.h"
#include "dm/mem/guest_ram.h"

namespace acrn {

Machine::Machine(const Options& options, std::unique_ptr<Hypervisor> hypervisor, Events events)
    : options_(options),
      events_(std::move(events)),
      hypervisor_(std::move(hypervisor)),
      traits_(hypervisor_->traits()),
      irqs_(*hypervisor_) {
  pci_.connect(hypervisor_.get());
}

Result<std::unique_ptr<Machine>> Machine::create(const Options& options, std::unique_ptr<Hypervisor> hypervisor,
                                                 Events events) {
  std::unique_ptr<Machine> machine(new Machine(options, std::move(hypervisor), std::move(events)));
  const bool file = options.shared_ram || machine->traits_.pins_ram;
  std::vector<MemoryRegion> regions;
  for (const auto& [base, size] :
       {std::pair(uint64_t{0}, options.ram.low), std::pair(kHighRamBase, options.ram.high)}) {
    if (size == 0) continue;
    auto region = create_guest_ram(Gpa{base}, size, file ? RamKind::kFile : RamKind::kPrivate);
    if (!region) return region.error();
    if (auto mapped = machine->hypervisor_->map_ram(region.value()); !mapped) return mapped.error();
    regions.push_back(std::move(region).value());
  }
  machine->map_ = std::make_shared<const MemoryMap>(std::move(regions));
  machine->memory_ = std::make_unique<GuestMemory>(machine->map_);
  return machine;
}

Machine::~Machine() { hypervisor_->stop(); }

IrqPin& Machine::pci_pin(PciAddress address) {
  constexpr uint8_t kIntA = 1;
  return irqs_.wire(pci_line(traits_.pci_lines, address, kIntA));
}

Result<void> Machine::boot(const BootImage& kernel) {
  if (auto set_up = set_up_pci(pci_, traits_.pci_lines); !set_up) return set_up.error();
  const auto boot = kernel.load(*map_, traits_.enters_long_mode);
  if (!boot) return boot.error();
  const std::vector<std::byte> tables = acpi_tables(
      {.vcpus = traits_.vcpus, .serial_ports = options_.serial_ports, .pci_lines = traits_.pci_lines}, kAcpiTables);
  const auto area = map_->slice(Gpa{kAcpiTables}, kKernelBase - kAcpiTables);
  ACRN_CHECK(area && tables.size() <= area->size());  // BootImage has seen to enough RAM
  area->copy_in(0, tables.data(), tables.size());
  return hypervisor_->start(boot.value(), *this);
}

Result<void> Machine::reset() {
  hypervisor_->pause();
  pci_.reset();
  io_.reset();
  return hypervisor_->reset();
}

void Machine::stop() {
  hypervisor_->stop();
  pci_.reset();
}

uint32_t Machine::io_read(uint16_t port, unsigned size) {
  if (const auto value = io_.read(port, size)) return *value;
  return pci_.io_read(port, size).value_or(~0u);
}

void Machine::io_write(uint16_t port, unsigned size, uint32_t value) {
  if (!io_.write(port, size, value)) pci_.io_write(port, size, value);
}

uint64_t Machine::memory_read(uint64_t address, unsigned size) {
  return pci_.memory_read(address, size).value_or(~uint64_t{0});
}

void Machine::memory_write(uint64_t address, unsigned size, uint64_t value) { pci_.memory_write(address, size, value); }

uint32_t Machine::config_read(PciAddress function, unsigned offset, unsigned size) {
  return pci_.config_read(function, offset, size);
}

void Machine::config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) {
  pci_.config_write(function, offset, size, value);
}

}  // namespace acrn
