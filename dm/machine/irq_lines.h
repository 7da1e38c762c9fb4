// IrqLines: the wires from devices to the interrupt controllers' inputs. Several devices may share an input; it is
// asserted while one of them asserts its wire.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "acrn/pci/level_interrupt.h"
#include "acrn/vm/hypervisor.h"

namespace acrn {

class IrqLines {
 public:
  explicit IrqLines(Hypervisor& hypervisor) : hypervisor_(hypervisor) {}

  // A new wire to the input. The composing thread, before a vCPU runs; the wire lives as long as this.
  IrqPin& wire(unsigned gsi);

 private:
  class Input final : public IrqPin {
   public:
    Input(Hypervisor& hypervisor, unsigned gsi)
        : gsi_(gsi), hypervisor_(hypervisor), wire_(*this, [this] { return asserted_.load() != 0; }) {}
    unsigned gsi() const { return gsi_; }
    void change(int by) {
      asserted_.fetch_add(by);
      wire_.update();
    }

   private:
    void set_level(bool asserted) override { hypervisor_.set_irq(gsi_, asserted); }
    const unsigned gsi_;
    Hypervisor& hypervisor_;
    std::atomic<int> asserted_{0};  // wires
    LevelInterrupt wire_;
  };
  class Wire final : public IrqPin {
   public:
    explicit Wire(Input& input) : input_(input) {}
    void set_level(bool asserted) override {
      if (asserted != level_) input_.change(asserted ? 1 : -1);
      level_ = asserted;
    }

   private:
    Input& input_;
    bool level_ = false;  // calls come one at a time
  };

  Hypervisor& hypervisor_;
  std::vector<std::unique_ptr<Input>> inputs_;
  std::vector<std::unique_ptr<Wire>> wires_;
};

inline IrqPin& IrqLines::wire(unsigned gsi) {
  Input* input = nullptr;
  for (const auto& known : inputs_) {
    if (known->gsi() == gsi) input = known.get();
  }
  if (input == nullptr) input = inputs_.emplace_back(std::make_unique<Input>(hypervisor_, gsi)).get();
  return *wires_.emplace_back(std::make_unique<Wire>(*input));
}

}  // namespace acrn
