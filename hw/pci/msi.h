// Msi: a function's MSI capability with one vector and a 64-bit address (PCI 3.0 6.8.1). The capability's bytes
// live in the configuration space; this keeps what the interrupt path reads. notify() is lock-free.
#pragma once

#include <atomic>
#include <cstdint>

#include "hw/pci/config_space.h"

namespace acrn {

class Msi {
 public:
  explicit Msi(MsiSink& sink) : sink_(sink) {}

  void add_capability(ConfigSpace& space);
  // After a write to configuration space.
  void refresh(const ConfigSpace& space);

  bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  void notify() const;

 private:
  MsiSink& sink_;
  unsigned capability_ = 0;  // 0: the function has none
  std::atomic<bool> enabled_{false};
  std::atomic<uint64_t> address_{0};
  std::atomic<uint32_t> data_{0};
};

}  // namespace acrn
