// BootImage: what a VM starts with: a kernel with its ramdisk and its command line, by one of the boot protocols. Used
// at each boot of a VM; the files stay open in between.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/vm/hypervisor.h"
#include "dm/boot/boot_file.h"
#include "dm/boot/memory_layout.h"

namespace acrn {

class BootImage {
 public:
  struct Options {
    std::string kernel;         // path
    const char* option = "-k";  // how it was given: as -k, -E or --ovmf
    std::optional<std::string> ramdisk;
    std::string bootargs;
    RamLayout ram;
  };
  // What the protocols have in common.
  struct Files {
    BootFile kernel;
    std::optional<BootFile> ramdisk;
    std::string bootargs;
    RamLayout ram;

    uint64_t ramdisk_size() const { return ramdisk ? ramdisk->size() : 0; }
    // Where the ramdisk begins: as high in low RAM as it can, at or below `top`, and above what the kernel needs, which
    // ends at `kernel_end`. 0: there is none. Errors: kUsage, there is too little RAM.
    Result<uint64_t> place_ramdisk(uint64_t kernel_end, uint64_t top) const;
    Result<void> load_ramdisk(const MemoryMap& memory, uint64_t address) const;
    void load_bootargs(const MemoryMap& memory) const;  // at kCommandLine
  };

  // Opens the files, looks which protocol the kernel has, and checks that all fits, so that a bad one is refused before
  // anything is started. Errors: kNoInput, kUsage, in one line.
  static Result<std::unique_ptr<BootImage>> open(const Options& options);
  virtual ~BootImage() = default;

  // Fills the RAM; returns how to enter: in 64-bit mode where the kernel can and `long_mode` allows it.
  virtual Result<BootState> load(const MemoryMap& memory, bool long_mode) const = 0;
};

// [address, address + length) of RAM, which there is; and as bytes, before the guest runs.
GuestSlice ram_at(const MemoryMap& memory, uint64_t address, uint64_t length);
std::span<std::byte> bytes_in(const GuestSlice& slice);

}  // namespace acrn
