#include "dm/plugin/blk_form.h"

#include <sys/eventfd.h>

#include <atomic>
#include <optional>
#include <utility>

#include "acrn/pci/level_interrupt.h"
#include "dm/cli/option_table.h"
#include "dm/hypervisor/msi_routes.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"

namespace acrn {
namespace {

// A message goes to send_msi, or through an eventfd that the host has connected.
class HostMessages final : public MsiSink, private MsiRoutes {
 public:
  explicit HostMessages(const acrn_blk_function_callbacks& callbacks) : callbacks_(callbacks) {}
  ~HostMessages() override { forget_all(); }

  void send(uint64_t address, uint32_t data) override {
    callbacks_.connect_msi == nullptr ? send_directly({address, data}) : MsiRoutes::send({address, data});
  }

 private:
  bool connect(unsigned, const MsiMessage& message, int event_fd) override {
    return callbacks_.connect_msi(callbacks_.context, message.address, message.data, event_fd) == 0;
  }
  void disconnect(int event_fd) override { callbacks_.disconnect_msi(callbacks_.context, event_fd); }
  void send_directly(const MsiMessage& message) override {
    callbacks_.send_msi(callbacks_.context, message.address, message.data);
  }

  const acrn_blk_function_callbacks callbacks_;
};

class FunctionForm final : public BlkForm, private IrqPin {
 public:
  FunctionForm(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors, EpollLoop& loop,
               const acrn_blk_function_callbacks& callbacks)
      : callbacks_(callbacks),
        loop_(loop),
        messages_(callbacks),
        function_(std::move(device), {}, guest_errors, static_cast<IrqPin&>(*this), messages_) {}
  ~FunctionForm() override {
    loop_.run([this] { resample_watch_.reset(); });
  }

  // For a wire of eventfds. False: resample_fd is not one.
  bool watch_resample() {
    resample_watch_ = loop_.watch_event(callbacks_.resample_fd, [this] {
      if (level_) signal_intx();
    });
    return resample_watch_ != nullptr;
  }

  PciFunction& function() override { return function_; }
  LegacyRegisters& registers() override { return function_.registers(); }

 private:
  void set_level(bool asserted) override {
    if (callbacks_.set_intx != nullptr) return callbacks_.set_intx(callbacks_.context, asserted ? 1 : 0);
    level_ = asserted;
    if (asserted) signal_intx();
  }
  void signal_intx() const { ::eventfd_write(callbacks_.intx_fd, 1); }

  const acrn_blk_function_callbacks callbacks_;
  EpollLoop& loop_;
  std::atomic<bool> level_{false};  // of a wire of eventfds
  std::unique_ptr<FdWatch> resample_watch_;
  HostMessages messages_;
  VirtioPciLegacy function_;
};

class RegisterForm final : public BlkForm, private PciFunction, private FunctionInterrupts, private IrqPin {
 public:
  RegisterForm(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
               const acrn_blk_register_callbacks& callbacks)
      : callbacks_(callbacks),
        isr_(static_cast<IrqPin&>(*this), [this] { return registers_.isr_pending(); }),
        registers_(std::move(device), guest_errors, *this) {}

  PciFunction& function() override { return *this; }
  LegacyRegisters& registers() override { return registers_; }

 private:
  uint32_t config_read(unsigned, unsigned) override { return ~0u; }
  void config_write(unsigned, unsigned, uint32_t) override {}
  BarShape bar_shape(unsigned bar) const override {
    if (bar != LegacyRegisters::kBar) return {};
    return {BarKind::kIo, LegacyRegisters::bar_size(registers_.config_size())};
  }
  std::optional<uint64_t> bar_address(unsigned) const override { return std::nullopt; }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    return bar == LegacyRegisters::kBar ? registers_.read(offset, size) : ~uint64_t{0};
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    if (bar == LegacyRegisters::kBar) registers_.write(offset, size, static_cast<uint32_t>(value));
  }
  void reset() override { registers_.reset(); }

  bool msix_enabled() const override { return callbacks_.msix_enabled(callbacks_.context) != 0; }
  void send_vector(uint16_t vector) override { callbacks_.send_vector(callbacks_.context, vector); }
  void isr_raised() override {
    isr_.update();
    if (callbacks_.send_msi != nullptr) callbacks_.send_msi(callbacks_.context);
  }
  void isr_cleared() override { isr_.update(); }
  void set_level(bool asserted) override { callbacks_.set_isr(callbacks_.context, asserted ? 1 : 0); }

  const acrn_blk_register_callbacks callbacks_;
  LevelInterrupt isr_;
  LegacyRegisters registers_;
};

}  // namespace

Result<std::unique_ptr<BlkForm>> make_function_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                                    EpollLoop& loop, const acrn_blk_function_callbacks& callbacks) {
  auto form = std::make_unique<FunctionForm>(std::move(device), guest_errors, loop, callbacks);
  if (callbacks.set_intx == nullptr && !form->watch_resample()) {
    return usage_error(
        "acrn_blk_function_callbacks: set_intx is missing, and resample_fd is not an eventfd; give the one or the "
        "other");
  }
  return std::unique_ptr<BlkForm>(std::move(form));
}

std::unique_ptr<BlkForm> make_register_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_register_callbacks& callbacks) {
  return std::make_unique<RegisterForm>(std::move(device), guest_errors, callbacks);
}

}  // namespace acrn
