// MsiRoutes: messages that the kernel sends when an eventfd is signalled (irqfd), found without a lock. What finds no
// room is sent by a call of its own. A guest that changes its messages again and again only loses the short way.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

class MsiRoutes {
 public:
  virtual ~MsiRoutes() = default;
  void send(const MsiMessage& message);  // any thread

 protected:
  static constexpr unsigned kRoutes = 64;

  // Makes a signal of `event_fd` send the message, which is number `number`. False, with errno: not to be had.
  virtual bool connect(unsigned number, const MsiMessage& message, int event_fd) ACRN_REQUIRES(mutex_) = 0;
  virtual void disconnect(int event_fd) ACRN_REQUIRES(mutex_) = 0;
  // A message that no local APIC takes is dropped, as on a real bus.
  virtual void send_directly(const MsiMessage& message) = 0;

  // Nobody sends during it.
  void forget_all();
  const MsiMessage& message(unsigned number) const { return routes_[number].message; }
  // Or is about to be.
  bool is_connected(unsigned number) const { return static_cast<bool>(routes_[number].event); }

  Mutex mutex_;  // leaf: who makes a route

 private:
  struct Route {
    MsiMessage message;
    UniqueFd event;  // empty: the kernel does not take this one, and is not asked again
  };
  // Found or made; null: there is no room.
  const Route* find(const MsiMessage& message);
  const Route* make(const MsiMessage& message) ACRN_REQUIRES(mutex_);

  std::array<Route, kRoutes> routes_;
  std::atomic<unsigned> count_{0};  // routes that are ready; release: their fields, pairs with the acquire in find()
  std::atomic<bool> full_{false};
};

}  // namespace acrn
