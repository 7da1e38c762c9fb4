#include "dm/event/event_trigger.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/io_ring.h"

namespace acrn {
namespace {

constexpr uint64_t kOne = 1;

// Rings that are made before the process gives up making any, and are used again and again.
class SpareRings {
 public:
  void reserve(unsigned count) {
    MutexLock lock(mutex_);
    for (kept_ += count; rings_.size() < kept_;) {
      auto ring = std::make_unique<IoRing>();
      if (start(*ring) != 0) return;
      rings_.push_back(std::move(ring));
    }
  }
  // `error`: an errno when it returns none.
  std::unique_ptr<IoRing> take(int& error) {
    MutexLock lock(mutex_);
    error = 0;
    std::unique_ptr<IoRing> ring;
    if (!rings_.empty()) {
      ring = std::move(rings_.back());
      rings_.pop_back();
      return ring;
    }
    ring = std::make_unique<IoRing>();
    error = start(*ring);
    if (error != 0) ring.reset();
    return ring;
  }
  void give_back(std::unique_ptr<IoRing> ring) {
    MutexLock lock(mutex_);
    if (rings_.size() < kept_ && ring->queued() == 0 && ring->clear_eventfd() == 0) rings_.push_back(std::move(ring));
  }

 private:
  static int start(IoRing& ring) { return ring.start(1, {0}, {IORING_OP_NOP}); }

  Mutex mutex_;  // leaf
  size_t kept_ ACRN_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<IoRing>> rings_ ACRN_GUARDED_BY(mutex_);
};

SpareRings& spare_rings() {
  static auto* const rings = new SpareRings;  // never destroyed: a trigger may outlive what is static
  return *rings;
}

class RingTrigger final : public EventTrigger {
 public:
  explicit RingTrigger(std::unique_ptr<IoRing> ring) : ring_(std::move(ring)) {}
  ~RingTrigger() override { spare_rings().give_back(std::move(ring_)); }
  // 0 or an errno.
  int start(int event) { return ring_->set_eventfd(event); }

  void signal() override {
    // A NOP is complete when submit returns, so there is room for the next one.
    // None: the last one is still there, since the kernel was short of memory.
    if (io_uring_sqe* const entry = ring_->next_entry(); entry != nullptr) io_uring_prep_nop(entry);
    ring_->submit();
    ring_->release(ring_->completed());
  }

 private:
  std::unique_ptr<IoRing> ring_;
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

bool is_unnamed_stream(int fd) {
  sockaddr_un peer{};
  socklen_t size = sizeof(peer);
  // SAFETY: what the call takes for an address.
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  if (peer.sun_family != AF_UNIX || size != sizeof(peer.sun_family)) return false;
  int type = 0;
  size = sizeof(type);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

}  // namespace

bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const ssize_t size = ::readlink(concat("/proc/self/fd/", fd).c_str(), target.data(), target.size());
  return size > 0 && std::string_view(target.data(), static_cast<size_t>(size)) == "anon_inode:[eventfd]";
}

bool make_send_only(int fd) {
  if (!is_unnamed_stream(fd) || ::shutdown(fd, SHUT_RD) != 0) return false;
  // From now on nothing can come. What is there is not read: another reader of the socket could make us wait for it.
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes == 0;
}

void EventTrigger::reserve(unsigned count) { spare_rings().reserve(count); }

std::unique_ptr<EventTrigger> EventTrigger::create(UniqueFd event, int& error) {
  error = EINVAL;
  if (!is_eventfd(event.fd())) return nullptr;
  if (auto ring = spare_rings().take(error); ring != nullptr) {
    auto trigger = std::make_unique<RingTrigger>(std::move(ring));
    error = trigger->start(event.fd());
    if (error == 0) return trigger;
  }
  if (error != ENOSYS && error != EPERM) return nullptr;
  auto writer = std::make_unique<WriteTrigger>(std::move(event));
  error = writer->start();
  if (error == 0) return writer;
  return nullptr;
}

std::unique_ptr<EventTrigger> EventTrigger::create_for_socket(UniqueFd socket, int& error) {
  error = make_send_only(socket.fd()) ? 0 : EINVAL;
  if (error == 0) return std::make_unique<SocketTrigger>(std::move(socket));
  return nullptr;
}

}  // namespace acrn
