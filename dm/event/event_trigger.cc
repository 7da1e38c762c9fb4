#include "dm/event/event_trigger.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "acrn/base/concat.h"
#include "dm/base/io_ring.h"

namespace acrn {
namespace {

constexpr uint64_t kOne = 1;

class RingTrigger final : public EventTrigger {
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

class SocketTrigger final : public EventTrigger {
 public:
  explicit SocketTrigger(UniqueFd socket) : socket_(std::move(socket)) {}
  // A full socket is a signal that has not been seen yet.
  void signal() override { ::send(socket_.fd(), &kOne, sizeof(kOne), MSG_DONTWAIT | MSG_NOSIGNAL); }

 private:
  UniqueFd socket_;
};

// For a host that forbids io_uring: as good as a write gets. A peer that takes O_NONBLOCK away between the two calls
// stops its own device.
class WriteTrigger final : public EventTrigger {
 public:
  explicit WriteTrigger(UniqueFd event) : event_(std::move(event)) {}

  // 0 or an errno.
  int start() {
    const int flags = ::fcntl(event_.fd(), F_GETFL);
    return flags >= 0 && ::fcntl(event_.fd(), F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : errno;
  }

  void signal() override {
    pollfd room{event_.fd(), POLLOUT, 0};
    // A full counter is a signal that has not been seen yet.
    if (::poll(&room, 1, 0) == 1) [[maybe_unused]]
      const ssize_t written = ::write(event_.fd(), &kOne, sizeof(kOne));
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

bool is_unnamed_socket(int fd) {
  sockaddr_un peer{};
  socklen_t size = sizeof(peer);
  // SAFETY: what the call takes for an address.
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  return peer.sun_family == AF_UNIX && size == sizeof(peer.sun_family);
}

std::unique_ptr<EventTrigger> EventTrigger::create(UniqueFd event, int& error) {
  error = EINVAL;
  if (!is_eventfd(event.fd())) return nullptr;
  auto ring = std::make_unique<RingTrigger>();
  error = ring->start(event.fd());
  if (error == 0) return ring;
  if (error != ENOSYS && error != EPERM) return nullptr;
  auto writer = std::make_unique<WriteTrigger>(std::move(event));
  error = writer->start();
  if (error == 0) return writer;
  return nullptr;
}

std::unique_ptr<EventTrigger> EventTrigger::create_for_socket(UniqueFd socket, int& error) {
  error = is_unnamed_socket(socket.fd()) ? 0 : EINVAL;
  if (error == 0) return std::make_unique<SocketTrigger>(std::move(socket));
  return nullptr;
}

}  // namespace acrn
