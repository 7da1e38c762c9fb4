// The default ID of a disk (VIRTIO_BLK_T_GET_ID), made from what is served. Pure.
#pragma once

#include <string>
#include <string_view>

namespace acrn {

// "ACRN--XXXX-XXXX-XXXX", 20 characters: the first 12 digits of the identity's SHA-256, in upper case.
// `identity` is DiskFacts::identity (dm/block/disk_facts.h).
std::string disk_serial(std::string_view identity);

}  // namespace acrn
