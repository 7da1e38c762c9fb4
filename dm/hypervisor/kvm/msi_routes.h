// MsiRoutes: messages that have a route in the kernel, each behind an eventfd (irqfd), found without a lock. What
// finds no room is sent by KVM_SIGNAL_MSI. A guest that changes its messages again and again only loses the short way.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class MsiRoutes {
 public:
  // For a VM that is new: the inputs of its controllers, wired as in a PC, and no messages. Nobody sends meanwhile.
  Result<void> set_up(int vm);
  // Any thread. `vm`: the VM's descriptor.
  void send(int vm, uint64_t address, uint32_t data);

 private:
  static constexpr unsigned kRoutes = 64;

  struct Route {
    uint64_t address = 0;
    uint32_t data = 0;
    UniqueFd event;
  };
  // Found or made; null: there is no room, or the kernel does not take it.
  const Route* find(int vm, uint64_t address, uint32_t data);
  const Route* make(int vm, uint64_t address, uint32_t data) ACRN_REQUIRES(mutex_);
  int write_table(int vm, unsigned messages) const;

  std::array<Route, kRoutes> routes_;
  std::atomic<unsigned> count_{0};  // routes that are ready; release: their fields, pairs with the acquire in find()
  std::atomic<bool> full_{false};
  Mutex mutex_;  // leaf: who makes a route
};

}  // namespace acrn
