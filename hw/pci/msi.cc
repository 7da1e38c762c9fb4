#include "hw/pci/msi.h"

namespace acrn {
namespace {

constexpr unsigned kLength = 14;  // 64-bit address, no masking
constexpr uint16_t kControl64Bit = 0x80;
constexpr uint16_t kControlEnable = 0x01;

}  // namespace

void Msi::add_capability(ConfigSpace& space) {
  capability_ = space.add_capability(PCI_CAP_ID_MSI, kLength);
  space.set(capability_ + 2, 2, kControl64Bit);
  space.make_writable(capability_ + 2, 2, kControlEnable);
  space.make_writable(capability_ + 4, 4, ~3u);
  space.make_writable(capability_ + 8, 4, ~0u);
  space.make_writable(capability_ + 12, 2, 0xffff);
}

void Msi::refresh(const ConfigSpace& space) {
  if (capability_ == 0) return;
  address_ = space.read(capability_ + 4, 4) | uint64_t{space.read(capability_ + 8, 4)} << 32;
  data_ = space.read(capability_ + 12, 2);
  // Release pairs with enabled(): who sees it on sees the message too.
  enabled_.store((space.read(capability_ + 2, 2) & kControlEnable) != 0, std::memory_order_release);
}

void Msi::notify() const { sink_.send(address_, data_); }

}  // namespace acrn
