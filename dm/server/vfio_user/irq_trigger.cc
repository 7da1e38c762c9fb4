#include "dm/server/vfio_user/irq_trigger.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "acrn/base/concat.h"
#include "dm/base/io_ring.h"

namespace acrn::vfio_user {
namespace {

class RingTrigger final : public IrqTrigger {
 public:
  // 0 or an errno.
  int start(int event) {
    const int error = ring_.start(1, {0});
    return error == 0 ? ring_.set_eventfd(event) : error;
  }

  void signal() override {
    // A NOP is complete when submit returns, so there is room for the next one.
    // None: the last one is still there, since the kernel was short of memory.
    if (io_uring_sqe* const entry = ring_.next_entry(); entry != nullptr) io_uring_prep_nop(entry);
    ring_.submit();
    ring_.release(ring_.completed());
  }

 private:
  IoRing ring_;
};

// For a host that forbids io_uring: as good as a write gets. A peer that takes O_NONBLOCK away between the two calls
// stops its own function.
class WriteTrigger final : public IrqTrigger {
 public:
  explicit WriteTrigger(UniqueFd event) : event_(std::move(event)) {}

  int start() {
    if (!is_eventfd(event_.fd())) return EINVAL;
    return ::fcntl(event_.fd(), F_SETFL, O_RDWR | O_NONBLOCK) == 0 ? 0 : errno;
  }

  void signal() override {
    pollfd room{event_.fd(), POLLOUT, 0};
    const uint64_t one = 1;
    // A full counter is an interrupt that has not been seen yet.
    if (::poll(&room, 1, 0) == 1) [[maybe_unused]]
      const ssize_t written = ::write(event_.fd(), &one, sizeof(one));
  }

 private:
  UniqueFd event_;
};

}  // namespace

bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const ssize_t size = ::readlink(concat("/proc/self/fd/", fd).c_str(), target.data(), target.size());
  return size > 0 && std::string_view(target.data(), static_cast<size_t>(size)) == "anon_inode:[eventfd]";
}

std::unique_ptr<IrqTrigger> IrqTrigger::create(UniqueFd event, int& error) {
  auto ring = std::make_unique<RingTrigger>();
  error = ring->start(event.fd());
  if (error == 0) return ring;
  if (error != ENOSYS && error != EPERM) return nullptr;
  auto writer = std::make_unique<WriteTrigger>(std::move(event));
  error = writer->start();
  if (error == 0) return writer;
  return nullptr;
}

}  // namespace acrn::vfio_user
