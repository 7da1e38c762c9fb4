#include "dm/hypervisor/msi_routes.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"

namespace acrn {

void MsiRoutes::send(const MsiMessage& message) {
  if (const Route* const route = find(message); route != nullptr && route->event) {
    const uint64_t one = 1;
    // The kernel takes the signal while it is written.
    if (::write(route->event.fd(), &one, sizeof(one)) == sizeof(one)) return;
  }
  send_directly(message);
}

const MsiRoutes::Route* MsiRoutes::find(const MsiMessage& message) {
  const auto search = [&](unsigned from, unsigned to) -> const Route* {
    for (unsigned i = from; i < to; i++) {
      if (routes_[i].message == message) return &routes_[i];
    }
    return nullptr;
  };
  const unsigned seen = count_.load(std::memory_order_acquire);
  if (const Route* const route = search(0, seen)) return route;
  if (full_.load(std::memory_order_relaxed)) return nullptr;
  MutexLock lock(mutex_);
  if (const Route* const route = search(seen, count_.load(std::memory_order_relaxed))) return route;
  return make(message);
}

const MsiRoutes::Route* MsiRoutes::make(const MsiMessage& message) {
  const unsigned number = count_.load(std::memory_order_relaxed);
  if (number == kRoutes) {
    full_ = true;
    return nullptr;
  }
  Route& route = routes_[number];
  route = {message, UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))};
  if (!route.event || !connect(number, message, route.event.fd())) {
    log(LogLevel::kDebug, concat("no route for an MSI: ", errno_text(errno)));
    route.event.reset();
  }
  count_.store(number + 1, std::memory_order_release);
  return &route;
}

void MsiRoutes::forget_all() {
  MutexLock lock(mutex_);
  for (unsigned i = count_; i > 0; i--) {
    if (routes_[i - 1].event) disconnect(routes_[i - 1].event.fd());
  }
  count_ = 0;
  full_ = false;
}

}  // namespace acrn
