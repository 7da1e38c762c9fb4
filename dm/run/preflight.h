// Everything about a start that can be refused without an effect on anything: files, kernels, CPUs, sockets, bytes that
// two disks would write. A start looks at it first, and --dry_run at nothing else.
//
// What is left to the start itself: whether the hypervisor runs a guest, whether there is memory for the guest and its
// RAM disks, and what only opening shows (who reads a FIFO, how a terminal is set).
#pragma once

#include <vector>

#include "acrn/base/result.h"
#include "dm/boot/boot_image.h"
#include "dm/cli/command_line.h"
#include "dm/devices/device.h"

namespace acrn {

// What the configuration says to each part.
VirtioOptions virtio_options(const DmConfig& config);
HypervisorOptions hypervisor_options(const DmConfig& config);
// How the kernel of a configuration that has one is to be loaded.
BootImage::Options boot_options(const DmConfig& config);

// The facts of each slot, in the order of the configuration; the first error. May wait a moment for the locks of a
// process that has just been killed. A kernel that is not given is not missed here.
Result<std::vector<DeviceFacts>> preflight(const DmConfig& config);

}  // namespace acrn
