#include "dm/hypervisor/kvm/kvm_msi_routes.h"

#include <vector>

#include "dm/hypervisor/kvm/kernel_lists.h"
#include "dm/hypervisor/kvm/kvm_ioctl.h"

namespace acrn {
namespace {

constexpr unsigned kPicInputs = 8, kIoApicInputs = 24;
constexpr unsigned kFirstMsiGsi = kIoApicInputs;

kvm_irq_routing_entry chip_entry(unsigned gsi, unsigned chip, unsigned input) {
  kvm_irq_routing_entry entry{};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_IRQCHIP;
  entry.u.irqchip.irqchip = chip;
  entry.u.irqchip.pin = input;
  return entry;
}

// The timer's interrupt 0 goes to input 2 of the I/O APIC, as the MADT says; 2 itself is the PICs' cascade.
std::vector<kvm_irq_routing_entry> chip_entries() {
  std::vector<kvm_irq_routing_entry> entries;
  for (unsigned gsi = 0; gsi < kIoApicInputs; gsi++) {
    if (gsi < kPicInputs) entries.push_back(chip_entry(gsi, KVM_IRQCHIP_PIC_MASTER, gsi));
    if (gsi >= kPicInputs && gsi < 2 * kPicInputs) {
      entries.push_back(chip_entry(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - kPicInputs));
    }
    if (gsi != 2) entries.push_back(chip_entry(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi));
  }
  return entries;
}

}  // namespace

void KvmMsiRoutes::send_directly(const MsiMessage& message) {
  kvm_msi request{};
  request.address_lo = static_cast<uint32_t>(message.address);
  request.address_hi = static_cast<uint32_t>(message.address >> 32);
  request.data = message.data;
  kvm_ioctl(vm_, KVM_SIGNAL_MSI, &request);
}

bool KvmMsiRoutes::connect(unsigned number, const MsiMessage&, int event_fd) {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(event_fd);
  irqfd.gsi = kFirstMsiGsi + number;
  return write_table(number + 1) == 0 && kvm_ioctl(vm_, KVM_IRQFD, &irqfd) == 0;
}

// The table is replaced as a whole.
int KvmMsiRoutes::write_table(unsigned messages) const {
  std::vector<kvm_irq_routing_entry> entries = chip_entries();
  for (unsigned i = 0; i < messages; i++) {
    if (!is_connected(i)) continue;  // it would be refused again, and the table with it
    kvm_irq_routing_entry entry{};
    entry.gsi = kFirstMsiGsi + i;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(message(i).address);
    entry.u.msi.address_hi = static_cast<uint32_t>(message(i).address >> 32);
    entry.u.msi.data = message(i).data;
    entries.push_back(entry);
  }
  return acrn_kvm_set_gsi_routing(vm_, entries.data(), static_cast<unsigned>(entries.size()));
}

Result<void> KvmMsiRoutes::set_up(int vm) {
  vm_ = vm;
  forget_all();
  if (write_table(0) != 0) return kvm_error("KVM_SET_GSI_ROUTING");
  return {};
}

}  // namespace acrn
