#include "dm/boot/linux_image.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/boot/boot_environment.h"
#include "dm/boot/ram_map.h"

namespace acrn {
namespace {

constexpr uint64_t kEntry64 = 0x200;  // bytes behind the kernel's start
constexpr uint8_t kUnregisteredLoader = 0xff;

}  // namespace

Result<std::unique_ptr<BootImage>> LinuxImage::open(Files files) {
  std::unique_ptr<LinuxImage> image(new LinuxImage(std::move(files)));
  if (const auto placed = image->place(); !placed) return placed.error();
  return std::unique_ptr<BootImage>(std::move(image));
}

Result<LinuxImage::Placement> LinuxImage::place() const {
  std::vector<std::byte> start(std::min<uint64_t>(kBzImageHeaderBytes, files_.kernel.size()));
  if (auto read = files_.kernel.read(0, start); !read) return read.error();
  const auto image = parse_bzimage(start, files_.kernel.size());
  if (!image) return files_.kernel.refuse(image.error().message);
  const BzImage& kernel = image.value();
  if (files_.bootargs.size() > kernel.command_line_max) {
    return Error{ErrorKind::kUsage,
                 concat("-B: ", files_.bootargs.size(), " bytes; this kernel takes at most ", kernel.command_line_max)};
  }
  const auto ramdisk = files_.place_ramdisk(kernel.memory_end, kernel.ramdisk_end_max);
  if (!ramdisk) return ramdisk.error();
  return Placement{kernel, ramdisk.value()};
}

Result<BootState> LinuxImage::load(const MemoryMap& memory, bool long_mode) const {
  const auto placed = place();  // again: the file may be another by now
  if (!placed) return placed.error();
  const auto& [kernel, ramdisk] = placed.value();
  const auto payload = bytes_in(ram_at(memory, kKernelBase, kernel.payload_size));
  if (auto read = files_.kernel.read(kernel.payload_offset, payload); !read) return read.error();
  if (auto loaded = files_.load_ramdisk(memory, ramdisk); !loaded) return loaded.error();
  files_.load_bootargs(memory);

  boot_params zero_page;
  std::memset(&zero_page, 0, sizeof(zero_page));
  zero_page.hdr = kernel.header;
  zero_page.hdr.type_of_loader = kUnregisteredLoader;
  zero_page.hdr.code32_start = kKernelBase;
  zero_page.hdr.cmd_line_ptr = kCommandLine;
  zero_page.hdr.ramdisk_image = static_cast<uint32_t>(ramdisk);
  zero_page.hdr.ramdisk_size = static_cast<uint32_t>(files_.ramdisk_size());
  zero_page.acpi_rsdp_addr = kAcpiTables;
  for (const auto& [address, size, type] : ram_map(files_.ram)) {
    zero_page.e820_table[zero_page.e820_entries++] = {address, size, type};
  }
  ram_at(memory, kZeroPage, sizeof(zero_page)).copy_in(0, &zero_page, sizeof(zero_page));

  long_mode = long_mode && kernel.long_mode;
  BootState boot = write_boot_environment(memory, long_mode);
  boot.instruction = kKernelBase + (long_mode ? kEntry64 : 0);
  boot.rsi = kZeroPage;
  return boot;
}

}  // namespace acrn
