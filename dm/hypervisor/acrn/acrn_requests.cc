#include <linux/acrn.h>

#include "dm/hypervisor/acrn/shared_ring.h"
#include "dm/hypervisor/requests.h"

namespace acrn {
namespace {

constexpr DeviceRequest kGuest[] = {
    {"ACRN_IOCTL_ATTACH_IOREQ_CLIENT", ACRN_IOCTL_ATTACH_IOREQ_CLIENT},
    {"ACRN_IOCTL_NOTIFY_REQUEST_FINISH", ACRN_IOCTL_NOTIFY_REQUEST_FINISH},
};
constexpr DeviceRequest kInterrupts[] = {
    {"ACRN_IOCTL_SET_IRQLINE", ACRN_IOCTL_SET_IRQLINE},
    {"ACRN_IOCTL_INJECT_MSI", ACRN_IOCTL_INJECT_MSI},
    {"ACRN_IOCTL_IRQFD", ACRN_IOCTL_IRQFD},
    {"ACRN_IOCTL_IOEVENTFD", ACRN_IOCTL_IOEVENTFD},
    {"ACRN_IOCTL_SETUP_ASYNCIO", kSetupAsyncio},
};
constexpr DeviceRequest kControl[] = {
    {"ACRN_IOCTL_PAUSE_VM", ACRN_IOCTL_PAUSE_VM},
    {"ACRN_IOCTL_CLEAR_VM_IOREQ", ACRN_IOCTL_CLEAR_VM_IOREQ},
    {"ACRN_IOCTL_RESET_VM", ACRN_IOCTL_RESET_VM},
    {"ACRN_IOCTL_SET_VCPU_REGS", ACRN_IOCTL_SET_VCPU_REGS},
    {"ACRN_IOCTL_START_VM", ACRN_IOCTL_START_VM},
    {"ACRN_IOCTL_CREATE_IOREQ_CLIENT", ACRN_IOCTL_CREATE_IOREQ_CLIENT},
    {"ACRN_IOCTL_DESTROY_IOREQ_CLIENT", ACRN_IOCTL_DESTROY_IOREQ_CLIENT},
    {"ACRN_IOCTL_DESTROY_VM", ACRN_IOCTL_DESTROY_VM},
};

}  // namespace

DeviceRequests acrn_requests() { return {.guest = kGuest, .interrupts = kInterrupts, .control = kControl}; }

}  // namespace acrn
