#include <linux/kvm.h>

#include "dm/hypervisor/kvm/kernel_lists.h"
#include "dm/hypervisor/requests.h"

namespace acrn {
namespace {

constexpr DeviceRequest kGuest[] = {
    {"KVM_RUN", KVM_RUN},
};
constexpr DeviceRequest kInterrupts[] = {
    {"KVM_IRQ_LINE", KVM_IRQ_LINE},
    {"KVM_SIGNAL_MSI", KVM_SIGNAL_MSI},
    {"KVM_IRQFD", KVM_IRQFD},
    {"KVM_IOEVENTFD", KVM_IOEVENTFD},
    {"KVM_SET_GSI_ROUTING", ACRN_KVM_SET_GSI_ROUTING},
};
constexpr DeviceRequest kControl[] = {
    {"KVM_KVMCLOCK_CTRL", KVM_KVMCLOCK_CTRL},
    {"KVM_CREATE_VM", KVM_CREATE_VM},
    {"KVM_CREATE_VCPU", KVM_CREATE_VCPU},
    {"KVM_CREATE_IRQCHIP", KVM_CREATE_IRQCHIP},
    {"KVM_CREATE_PIT2", KVM_CREATE_PIT2},
    {"KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION},
    {"KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR},
    {"KVM_SET_IDENTITY_MAP_ADDR", KVM_SET_IDENTITY_MAP_ADDR},
    {"KVM_GET_IRQCHIP", KVM_GET_IRQCHIP},
    {"KVM_SET_IRQCHIP", KVM_SET_IRQCHIP},
    {"KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE},
    {"KVM_SET_CPUID2", ACRN_KVM_SET_CPUID2},
    {"KVM_SET_MSRS", ACRN_KVM_SET_MSRS},
    {"KVM_GET_SREGS", KVM_GET_SREGS},
    {"KVM_SET_SREGS", KVM_SET_SREGS},
    {"KVM_SET_REGS", KVM_SET_REGS},
};

}  // namespace

DeviceRequests kvm_requests() { return {.guest = kGuest, .interrupts = kInterrupts, .control = kControl}; }

}  // namespace acrn
