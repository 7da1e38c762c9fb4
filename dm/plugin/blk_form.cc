#include "dm/plugin/blk_form.h"

#include <utility>

#include "acrn/pci/level_interrupt.h"
#include "hw/pci/virtio/legacy_registers.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"

namespace acrn {
namespace {

class FunctionForm final : public BlkForm, private IrqPin, private MsiSink {
 public:
  FunctionForm(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
               const acrn_blk_function_callbacks& callbacks)
      : callbacks_(callbacks),
        function_(std::move(device), {}, guest_errors, static_cast<IrqPin&>(*this), static_cast<MsiSink&>(*this)) {}

  uint32_t config_read(unsigned offset, unsigned size) override { return function_.config_read(offset, size); }
  void config_write(unsigned offset, unsigned size, uint32_t value) override {
    function_.config_write(offset, size, value);
  }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    return function_.bar_read(bar, offset, size);
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    function_.bar_write(bar, offset, size, value);
  }
  uint32_t bar_size(unsigned bar) const override { return function_.bar_shape(bar).size; }
  uint64_t bar_address(unsigned bar) const override {
    return bar < kPciBars ? function_.bar_address(bar).value_or(UINT64_MAX) : UINT64_MAX;
  }
  unsigned vectors() const override { return function_.vectors(); }
  std::vector<BarDoorbell> doorbells() const override { return function_.doorbells(); }
  void reset() override { function_.reset(); }
  void suspend() override { function_.suspend(); }
  void resume() override { function_.resume(); }
  void change_memory(const std::function<void()>& change) override { function_.change_memory(change); }

 private:
  void set_level(bool asserted) override { callbacks_.set_intx(callbacks_.context, asserted ? 1 : 0); }
  void send(uint64_t address, uint32_t data) override { callbacks_.send_msi(callbacks_.context, address, data); }

  const acrn_blk_function_callbacks callbacks_;
  VirtioPciLegacy function_;
};

class RegisterForm final : public BlkForm, private FunctionInterrupts, private IrqPin {
 public:
  RegisterForm(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
               const acrn_blk_register_callbacks& callbacks)
      : callbacks_(callbacks),
        vectors_(LegacyRegisters::vectors(*device)),
        isr_(static_cast<IrqPin&>(*this), [this] { return registers_.isr_pending(); }),
        registers_(std::move(device), guest_errors, *this) {}

  uint32_t config_read(unsigned, unsigned) override { return ~0u; }
  void config_write(unsigned, unsigned, uint32_t) override {}
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    return bar == LegacyRegisters::kBar ? registers_.read(offset, size) : ~uint64_t{0};
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    if (bar == LegacyRegisters::kBar) registers_.write(offset, size, static_cast<uint32_t>(value));
  }
  uint32_t bar_size(unsigned bar) const override {
    return bar == LegacyRegisters::kBar ? LegacyRegisters::bar_size(registers_.config_size()) : 0;
  }
  uint64_t bar_address(unsigned) const override { return UINT64_MAX; }
  unsigned vectors() const override { return vectors_; }
  std::vector<BarDoorbell> doorbells() const override { return registers_.doorbells(); }
  void reset() override { registers_.reset(); }
  void suspend() override { registers_.suspend(); }
  void resume() override { registers_.resume(); }
  void change_memory(const std::function<void()>& change) override { registers_.change_memory(change); }

 private:
  bool msix_enabled() const override { return callbacks_.msix_enabled(callbacks_.context) != 0; }
  void send_vector(uint16_t vector) override { callbacks_.send_vector(callbacks_.context, vector); }
  void isr_raised() override {
    isr_.update();
    if (callbacks_.send_msi != nullptr) callbacks_.send_msi(callbacks_.context);
  }
  void isr_cleared() override { isr_.update(); }
  void set_level(bool asserted) override { callbacks_.set_isr(callbacks_.context, asserted ? 1 : 0); }

  const acrn_blk_register_callbacks callbacks_;
  const unsigned vectors_;
  LevelInterrupt isr_;
  LegacyRegisters registers_;
};

}  // namespace

std::unique_ptr<BlkForm> make_function_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_function_callbacks& callbacks) {
  return std::make_unique<FunctionForm>(std::move(device), guest_errors, callbacks);
}

std::unique_ptr<BlkForm> make_register_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_register_callbacks& callbacks) {
  return std::make_unique<RegisterForm>(std::move(device), guest_errors, callbacks);
}

}  // namespace acrn
