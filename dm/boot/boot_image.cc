#include "dm/boot/boot_image.h"

#include <algorithm>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "dm/boot/elf_image.h"
#include "dm/boot/linux_image.h"

namespace acrn {
namespace {

constexpr const char* kNoFirmware =
    "made for another board; give an ELF file with a PVH note, like CLOUDHV.fd of Debian's cloudhv-efi-x86-64";

}  // namespace

GuestSlice ram_at(const MemoryMap& memory, uint64_t address, uint64_t length) {
  const auto slice = memory.slice(Gpa{address}, length);
  ACRN_CHECK(slice.has_value());
  return *slice;
}

std::span<std::byte> bytes_in(const GuestSlice& slice) {
  const iovec all = slice.io_vector();
  return {static_cast<std::byte*>(all.iov_base), all.iov_len};
}

Result<std::unique_ptr<BootImage>> BootImage::open(const Options& options) {
  auto kernel = BootFile::open(options.option, options.kernel);
  if (!kernel) return kernel.error();
  std::optional<BootFile> ramdisk;
  if (options.ramdisk) {
    auto opened = BootFile::open("-r", *options.ramdisk);
    if (!opened) return opened.error();
    ramdisk = std::move(opened).value();
    if (ramdisk->size() == 0) return ramdisk->refuse("empty; give an initramfs");
  }
  Files files{std::move(kernel).value(), std::move(ramdisk), options.bootargs, options.ram};
  const auto is_elf = ElfImage::recognizes(files.kernel);
  if (!is_elf) return is_elf.error();
  if (is_elf.value()) return ElfImage::open(std::move(files));
  const std::string_view option = options.option;
  if (option == "-k") return LinuxImage::open(std::move(files));
  return files.kernel.refuse(option == "-E" ? "not an ELF file; give a bzImage by -k" : kNoFirmware);
}

Result<uint64_t> BootImage::Files::place_ramdisk(uint64_t kernel_end, uint64_t top) const {
  const uint64_t size = ramdisk_size();
  top = std::min({top, ram.low, kLowRamLimit});
  if (kernel_end > ram.low || size > top || (ramdisk && round_down(top - size, kPageBytes) < kernel_end)) {
    const uint64_t needed = kernel_end + size + kPageBytes;
    return Error{ErrorKind::kUsage,
                 concat("-m ", ram.low / kMiB, "M: too little for this kernel", ramdisk ? " and ramdisk" : "",
                        "; give at least ", (needed + kMiB - 1) / kMiB + 1, "M",
                        top < ram.low || needed > kLowRamLimit ? ", or a smaller ramdisk" : "")};
  }
  return ramdisk ? round_down(top - size, kPageBytes) : uint64_t{0};
}

Result<void> BootImage::Files::load_ramdisk(const MemoryMap& memory, uint64_t address) const {
  if (!ramdisk) return {};
  return ramdisk->read(0, bytes_in(ram_at(memory, address, ramdisk->size())));
}

void BootImage::Files::load_bootargs(const MemoryMap& memory) const {
  ram_at(memory, kCommandLine, bootargs.size() + 1).copy_in(0, bootargs.c_str(), bootargs.size() + 1);
}

}  // namespace acrn
