// Any bytes as a kernel image, small RAM: it is refused with a reason, or loaded inside the RAM.
// COVERS(input): bzImage headers
// COVERS(input): ELF headers, notes, Multiboot headers
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "dm/boot/boot_image.h"

namespace {

constexpr uint64_t kRam = 4 * acrn::kMiB;

struct Rig {
  Rig() : file(memfd_create("kernel", 0)), ram(kRam) {}
  int file;
  std::vector<std::byte> ram;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Rig rig;
  if (ftruncate(rig.file, 0) != 0 || pwrite(rig.file, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const std::string path = "/proc/self/fd/" + std::to_string(rig.file);
  const auto loader = acrn::BootImage::open({.kernel = path, .ramdisk = path, .bootargs = "quiet", .ram = {kRam, 0}});
  if (!loader) {
    if (loader.error().message.empty()) __builtin_trap();
    return 0;
  }
  const acrn::MemoryMap memory({{acrn::Gpa{0}, kRam, rig.ram.data(), nullptr}});
  for (const bool long_mode : {true, false}) {
    if (!loader.value()->load(memory, long_mode)) __builtin_trap();
  }
  return 0;
}
