// Puts a Linux kernel, its ramdisk and its command line into guest RAM as a boot loader does (Linux x86 boot
// protocol, 32-bit and 64-bit entry). Used at each boot of a VM; the files stay open in between.
#pragma once

#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/vm/hypervisor.h"
#include "dm/machine/memory_layout.h"

namespace acrn {

class LinuxLoader {
 public:
  struct Options {
    std::string kernel;                  // path
    std::optional<std::string> ramdisk;  // path
    std::string bootargs;
    RamLayout ram;
  };

  // Opens the files and checks that all fits, so that a bad one is refused before anything is started.
  static Result<LinuxLoader> open(Options options);

  // Fills the RAM; returns how to enter the kernel: at its 64-bit entry if it has one and `long_mode` is allowed.
  Result<BootState> load(const MemoryMap& memory, bool long_mode) const;

 private:
  struct File {
    UniqueFd fd;
    uint64_t size = 0;  // bytes, when it was opened
  };
  struct Placement;

  static Result<File> open_file(const char* option, const std::string& path);
  Result<Placement> place() const;

  Options options_;
  File kernel_;
  std::optional<File> ramdisk_;
};

}  // namespace acrn
