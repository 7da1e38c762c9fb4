// IrqTrigger: raises an interrupt by a peer's eventfd, and never waits for the peer. A write to an eventfd does that
// when the peer has filled its counter, and O_NONBLOCK is the peer's to take away; so the kernel itself signals it, as
// the completion event of an io_uring that completes nothing but NOPs (docs/adr/0014).
#pragma once

#include <memory>

#include "acrn/base/unique_fd.h"

namespace acrn::vfio_user {

// By the descriptor's link in /proc.
bool is_eventfd(int fd);

class IrqTrigger {
 public:
  // `error`: an errno when it returns none; EINVAL: not an eventfd.
  static std::unique_ptr<IrqTrigger> create(UniqueFd event, int& error);
  virtual ~IrqTrigger() = default;
  // One thread at a time. Does not block.
  virtual void signal() = 0;
};

}  // namespace acrn::vfio_user
