// LinuxImage: a bzImage, put into guest RAM as a boot loader does (Linux x86 boot protocol, 32-bit and 64-bit entry).
#pragma once

#include <memory>
#include <utility>

#include "dm/boot/boot_image.h"
#include "dm/boot/bzimage.h"

namespace acrn {

class LinuxImage final : public BootImage {
 public:
  // Errors: as BootImage::open().
  static Result<std::unique_ptr<BootImage>> open(Files files);
  Result<BootState> load(const MemoryMap& memory, bool long_mode) const override;

 private:
  struct Placement {
    BzImage image;
    uint64_t ramdisk = 0;  // where it begins
  };

  explicit LinuxImage(Files files) : files_(std::move(files)) {}
  Result<Placement> place() const;

  const Files files_;
};

}  // namespace acrn
