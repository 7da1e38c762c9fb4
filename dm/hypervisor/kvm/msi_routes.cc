#include "dm/hypervisor/kvm/msi_routes.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <vector>

#include "acrn/base/log.h"
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

void MsiRoutes::send(int vm, uint64_t address, uint32_t data) {
  if (const Route* const route = find(vm, address, data)) {
    const uint64_t one = 1;
    // The kernel takes the signal while it is written, so the counter never stands.
    if (::write(route->event.fd(), &one, sizeof(one)) == sizeof(one)) return;
  }
  kvm_msi message{};
  message.address_lo = static_cast<uint32_t>(address);
  message.address_hi = static_cast<uint32_t>(address >> 32);
  message.data = data;
  // A message that no local APIC takes is dropped, as on a real bus.
  kvm_ioctl(vm, KVM_SIGNAL_MSI, &message);
}

const MsiRoutes::Route* MsiRoutes::find(int vm, uint64_t address, uint32_t data) {
  const auto search = [&](unsigned from, unsigned to) -> const Route* {
    for (unsigned i = from; i < to; i++) {
      if (routes_[i].data == data && routes_[i].address == address) return &routes_[i];
    }
    return nullptr;
  };
  const unsigned seen = count_.load(std::memory_order_acquire);
  if (const Route* const route = search(0, seen)) return route;
  if (full_.load(std::memory_order_relaxed)) return nullptr;
  MutexLock lock(mutex_);
  if (const Route* const route = search(seen, count_.load(std::memory_order_relaxed))) return route;
  return make(vm, address, data);
}

const MsiRoutes::Route* MsiRoutes::make(int vm, uint64_t address, uint32_t data) {
  const unsigned number = count_.load(std::memory_order_relaxed);
  if (number == kRoutes) {
    full_ = true;
    return nullptr;
  }
  Route& route = routes_[number];
  route = {address, data, UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))};

  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(route.event.fd());
  irqfd.gsi = kFirstMsiGsi + number;
  if (!route.event || write_table(vm, number + 1) != 0 || kvm_ioctl(vm, KVM_IRQFD, &irqfd) != 0) {
    log(LogLevel::kDebug, concat("KVM: no route for an MSI: ", errno_text(errno)));
    full_ = true;
    return nullptr;
  }
  count_.store(number + 1, std::memory_order_release);
  return &route;
}

// The table is replaced as a whole.
int MsiRoutes::write_table(int vm, unsigned messages) const {
  std::vector<kvm_irq_routing_entry> entries = chip_entries();
  for (unsigned i = 0; i < messages; i++) {
    kvm_irq_routing_entry entry{};
    entry.gsi = kFirstMsiGsi + i;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(routes_[i].address);
    entry.u.msi.address_hi = static_cast<uint32_t>(routes_[i].address >> 32);
    entry.u.msi.data = routes_[i].data;
    entries.push_back(entry);
  }
  return acrn_kvm_set_gsi_routing(vm, entries.data(), static_cast<unsigned>(entries.size()));
}

Result<void> MsiRoutes::set_up(int vm) {
  MutexLock lock(mutex_);
  count_ = 0;
  full_ = false;
  if (write_table(vm, 0) != 0) return kvm_error("KVM_SET_GSI_ROUTING");
  return {};
}

}  // namespace acrn
