// A file that is a bzImage to its loader: one setup sector, the rest payload.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "dm/boot/bzimage.h"

namespace acrn::test {

inline constexpr size_t kBzImageFileSize = 64 * 1024;

inline std::vector<std::byte> bzimage_file(uint16_t version = 0x20f, uint16_t xloadflags = XLF_KERNEL_64) {
  std::vector<std::byte> file(kBzImageFileSize);
  setup_header header{};
  header.setup_sects = 1;
  header.syssize = (kBzImageFileSize - 1024) / 16;
  header.boot_flag = 0xaa55;
  header.jump = 0x66eb;  // the header ends at 0x202 + 0x66
  header.header = 0x53726448;
  header.version = version;
  header.loadflags = LOADED_HIGH;
  header.initrd_addr_max = 0x7fff'ffff;
  header.cmdline_size = 2047;
  header.xloadflags = xloadflags;
  header.pref_address = 0x100'0000;
  header.init_size = 0x200'0000;
  std::memcpy(file.data() + 0x1f1, &header, sizeof(header));
  return file;
}

}  // namespace acrn::test
