#include "tests/plugins/toy_device/toy_device.h"

#include "acrn/base/mutex.h"
#include "dm/devices/function_info.h"
#include "hw/pci/config_space.h"

namespace acrn::toy_device {
namespace {

constexpr PciIdentity kIdentity{.vendor = 0x1af4, .device = 0x10ff, .class_code = 0xff0000};
constexpr BarShape kRegister{BarKind::kIo, 16};

class ToyFunction final : public PciFunction {
 public:
  ToyFunction() : space_(kIdentity) {
    space_.add_bar(0, kRegister);
    space_.seal();
  }

  uint32_t config_read(unsigned offset, unsigned size) override {
    MutexLock lock(mutex_);
    return space_.read(offset, size);
  }
  void config_write(unsigned offset, unsigned size, uint32_t value) override {
    MutexLock lock(mutex_);
    space_.write(offset, size, value);
  }
  BarShape bar_shape(unsigned bar) const override { return bar == 0 ? kRegister : BarShape(); }
  std::optional<uint64_t> bar_address(unsigned bar) const override {
    MutexLock lock(mutex_);
    return space_.bar_address(bar);
  }
  uint64_t bar_read(unsigned, uint64_t, unsigned) override {
    MutexLock lock(mutex_);
    return register_;
  }
  void bar_write(unsigned, uint64_t, unsigned, uint64_t value) override {
    MutexLock lock(mutex_);
    register_ = value;
  }
  void reset() override {
    MutexLock lock(mutex_);
    space_.reset();
    register_ = 0;
  }

 private:
  mutable Mutex mutex_;  // leaf
  ConfigSpace space_ ACRN_GUARDED_BY(mutex_);
  uint64_t register_ ACRN_GUARDED_BY(mutex_) = 0;
};

class ToyDevice final : public Device {
 public:
  PciFunction& function() override { return function_; }

 private:
  ToyFunction function_;
};

}  // namespace

Result<DeviceFacts> inspect(const PciSlotConfig&, const VirtioOptions&) {
  DeviceFacts facts{.function = function_info(kIdentity)};
  facts.function.bars[0] = kRegister;
  return facts;
}

Result<std::unique_ptr<Device>> create(const PciSlotConfig&, const DeviceEnvironment&, IrqPin&) {
  return std::unique_ptr<Device>(std::make_unique<ToyDevice>());
}

}  // namespace acrn::toy_device
