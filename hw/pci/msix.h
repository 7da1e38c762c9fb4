// Msix: a function's MSI-X capability, table and pending bits (PCI 3.0 6.8.2). Any thread; notify() is lock-free.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "hw/pci/config_space.h"

namespace acrn {

class Msix {
 public:
  static constexpr uint32_t kBarSize = 4096;
  static constexpr unsigned kMaxVectors = 128;

  // `vectors` 1..kMaxVectors.
  Msix(unsigned vectors, MsiSink& sink);

  void add_capability(ConfigSpace& space, unsigned bar);
  // After a write to configuration space, under the lock of that; then send_unmasked(), without it.
  void refresh(const ConfigSpace& space);
  // Sends what is pending and no longer masked.
  void send_unmasked();
  // Every entry masked, nothing pending: as after power-on.
  void reset();

  bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  unsigned vectors() const { return static_cast<unsigned>(entries_.size()); }

  // Sends the vector's message, or leaves it pending while it or the function is masked.
  void notify(unsigned vector);

  // The BAR with table and pending bits. Accesses of 4 or 8 bytes, aligned; any other write is dropped and any
  // other read is all ones (PCI 3.0 6.8.2: other accesses are undefined).
  uint64_t bar_read(uint64_t offset, unsigned size) const;
  void bar_write(uint64_t offset, unsigned size, uint64_t value);

 private:
  struct Entry {
    std::atomic<uint32_t> words[4];  // address low, address high, data, vector control
  };

  bool masked(unsigned vector) const;
  void send_if_unmasked(unsigned vector);
  uint32_t read_word(uint64_t offset) const;
  void write_word(uint64_t offset, uint32_t value);

  MsiSink& sink_;
  unsigned capability_ = 0;
  std::vector<Entry> entries_;
  std::atomic<uint32_t> pending_[kMaxVectors / 32]{};
  std::atomic<bool> enabled_{false};
  std::atomic<bool> function_masked_{false};
};

}  // namespace acrn
