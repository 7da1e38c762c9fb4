// ElfImage: a kernel that is an ELF file, entered in 32-bit protected mode: by PVH (Xen's x86 direct boot ABI) if it
// has that entry, else by Multiboot 1.
#pragma once

#include <memory>
#include <utility>

#include "dm/boot/boot_image.h"
#include "dm/boot/elf.h"

namespace acrn {

class ElfImage final : public BootImage {
 public:
  static Result<bool> recognizes(const BootFile& file);
  // Errors: as BootImage::open().
  static Result<std::unique_ptr<BootImage>> open(Files files);
  Result<BootState> load(const MemoryMap& memory, bool long_mode) const override;

 private:
  struct Placement {
    ElfKernel kernel;
    uint64_t entry = 0;    // of the protocol
    uint64_t ramdisk = 0;  // where it begins
  };

  explicit ElfImage(Files files) : files_(std::move(files)) {}
  Result<Placement> place() const;
  Result<void> check_multiboot() const;
  void describe_for_pvh(const MemoryMap& memory, uint64_t ramdisk) const;
  void describe_for_multiboot(const MemoryMap& memory, uint64_t ramdisk) const;

  const Files files_;
};

}  // namespace acrn
