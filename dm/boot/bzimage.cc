#include "dm/boot/bzimage.h"

#include <algorithm>
#include <cstring>

#include "acrn/base/concat.h"
#include "dm/boot/memory_layout.h"

namespace acrn {
namespace {

constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint32_t kHeaderMagic = 0x5372'6448;  // "HdrS"
constexpr uint16_t kOldestProtocol = 0x0206;    // says how long its command line may be
constexpr uint16_t kProtocolInitSize = 0x020a;
constexpr uint16_t kProtocolXloadflags = 0x020c;
constexpr uint64_t kSector = 512;
constexpr size_t kSetupHeader = offsetof(boot_params, hdr);
constexpr size_t kSetupHeaderEnd = 0x202;  // plus the value of the byte before it

Error refuse(std::string why) { return {ErrorKind::kNoInput, std::move(why)}; }

std::string version_text(uint16_t version) { return concat(version >> 8, ".", version & 0xff); }

}  // namespace

Result<BzImage> parse_bzimage(std::span<const std::byte> start, uint64_t file_size) {
  constexpr const char* kNotOne = "not a bzImage; give a Linux kernel as built for x86, like /boot/vmlinuz";
  if (start.size() < kSetupHeader + sizeof(setup_header)) return refuse(kNotOne);
  BzImage image;
  setup_header& header = image.header;
  std::memcpy(&header, start.data() + kSetupHeader, sizeof(header));
  if (header.boot_flag != kBootFlag || header.header != kHeaderMagic) return refuse(kNotOne);
  if (header.version < kOldestProtocol) {
    return refuse(concat("boot protocol ", version_text(header.version), " is too old; give a kernel with ",
                         version_text(kOldestProtocol), " or newer (Linux 2.6.22)"));
  }
  if ((header.loadflags & LOADED_HIGH) == 0) return refuse("a zImage, which loads below 1 MiB; give a bzImage");
  // What lies behind the header in the file is code, not fields.
  const size_t length = kSetupHeaderEnd - kSetupHeader + std::to_integer<size_t>(start[kSetupHeaderEnd - 1]);
  if (length < sizeof(header)) {
    // SAFETY: the header is a structure of the kernel's, plain bytes.
    std::memset(reinterpret_cast<std::byte*>(&header) + length, 0, sizeof(header) - length);
  }

  const uint64_t setup_sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  image.payload_offset = (setup_sectors + 1) * kSector;
  const uint64_t wanted = uint64_t{header.syssize} * 16;
  // The last paragraph need not be complete.
  if (file_size <= image.payload_offset || file_size - image.payload_offset + 15 < wanted) {
    return refuse(concat("truncated: ", file_size, " bytes of at least ", image.payload_offset + wanted));
  }
  image.payload_size = file_size - image.payload_offset;
  image.long_mode = header.version >= kProtocolXloadflags && (header.xloadflags & XLF_KERNEL_64) != 0;
  image.memory_end = kKernelBase + image.payload_size;
  if (header.version >= kProtocolInitSize) {
    // A relocatable kernel below its preferred address moves up to it before it unpacks itself.
    const uint64_t unpacked_at = std::max(kKernelBase, uint64_t{header.pref_address});
    if (unpacked_at > kLowRamLimit) return refuse("wants to be unpacked above 2 GiB; give a kernel that does not");
    image.memory_end = std::max(image.memory_end, unpacked_at + header.init_size);
  }
  image.ramdisk_end_max = uint64_t{header.initrd_addr_max} + 1;
  image.command_line_max = header.cmdline_size;
  return image;
}

}  // namespace acrn
