// What stays the same about a block device's medium when the host finds its devices in another order: a disk's default
// ID is made of it. Never a number that the kernel hands out.
#pragma once

#include <string>

namespace acrn {

// `sysfs`: the device's folder there, like "/sys/dev/block/8:1". `path`: as the user wrote it; taken where nothing is
// known of the medium. One of
//   loop:<backing file>[:<offset>+<limit>], dm:<uuid>, md:<uuid>, wwid:<text>, serial:<text>, device:<path>
// and for a partition that of its disk and ":part<number>".
std::string device_identity(const std::string& sysfs, const std::string& path);

}  // namespace acrn
