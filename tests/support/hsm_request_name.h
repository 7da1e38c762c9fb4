// The module's requests by name, as traces and messages have them.
#pragma once

#include <string>

#include "tests/support/fake_hsm.h"

namespace acrn::test {

inline std::string hsm_request_name(unsigned long request) {
  switch (request) {
    case ACRN_IOCTL_CREATE_VM: return "CREATE_VM";
    case ACRN_IOCTL_DESTROY_VM: return "DESTROY_VM";
    case ACRN_IOCTL_START_VM: return "START_VM";
    case ACRN_IOCTL_PAUSE_VM: return "PAUSE_VM";
    case ACRN_IOCTL_RESET_VM: return "RESET_VM";
    case ACRN_IOCTL_SET_VCPU_REGS: return "SET_VCPU_REGS";
    case ACRN_IOCTL_SET_MEMSEG: return "SET_MEMSEG";
    case ACRN_IOCTL_UNSET_MEMSEG: return "UNSET_MEMSEG";
    case ACRN_IOCTL_SET_IRQLINE: return "SET_IRQLINE";
    case ACRN_IOCTL_INJECT_MSI: return "INJECT_MSI";
    case ACRN_IOCTL_CREATE_IOREQ_CLIENT: return "CREATE_IOREQ_CLIENT";
    case ACRN_IOCTL_DESTROY_IOREQ_CLIENT: return "DESTROY_IOREQ_CLIENT";
    case ACRN_IOCTL_ATTACH_IOREQ_CLIENT: return "ATTACH_IOREQ_CLIENT";
    case ACRN_IOCTL_NOTIFY_REQUEST_FINISH: return "NOTIFY_REQUEST_FINISH";
    case ACRN_IOCTL_CLEAR_VM_IOREQ: return "CLEAR_VM_IOREQ";
    case ACRN_IOCTL_IOEVENTFD: return "IOEVENTFD";
    case ACRN_IOCTL_IRQFD: return "IRQFD";
    case FakeHsm::kSetupAsyncio: return "SETUP_ASYNCIO";
    case FakeHsm::kSetupVmEventRing: return "SETUP_VM_EVENT_RING";
    case FakeHsm::kSetupVmEventFd: return "SETUP_VM_EVENT_FD";
    default: return std::to_string(request);
  }
}

}  // namespace acrn::test
