// A PCI function that only says what it is: the host bridge and the LPC bridge. Guests look for both; neither
// has a BAR or an interrupt.
#pragma once

#include <memory>

#include "acrn/base/mutex.h"
#include "hw/pci/config_space.h"

namespace acrn {

// The identities that ACRN's device model uses.
inline constexpr PciIdentity kHostBridgeIdentity{.vendor = 0x1275, .device = 0x1275, .class_code = 0x060000};
// The one by which edk2's firmware for Cloud Hypervisor knows its board.
inline constexpr PciIdentity kCloudHvBridgeIdentity{.vendor = 0x8086, .device = 0x0d57, .class_code = 0x060000};
inline constexpr PciIdentity kLpcIdentity{.vendor = 0x8086, .device = 0x7000, .class_code = 0x060100};

class IdentityFunction final : public PciFunction {
 public:
  explicit IdentityFunction(const PciIdentity& identity);

  uint32_t config_read(unsigned offset, unsigned size) override;
  void config_write(unsigned offset, unsigned size, uint32_t value) override;
  BarShape bar_shape(unsigned) const override { return {}; }
  std::optional<uint64_t> bar_address(unsigned) const override { return std::nullopt; }
  uint64_t bar_read(unsigned, uint64_t, unsigned) override { return ~uint64_t{0}; }
  void bar_write(unsigned, uint64_t, unsigned, uint64_t) override {}
  void reset() override;

 private:
  Mutex mutex_;  // leaf
  ConfigSpace space_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
