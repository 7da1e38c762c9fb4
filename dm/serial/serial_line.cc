#include "dm/serial/serial_line.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/fence.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/base/one_line.h"

namespace acrn {
namespace {

constexpr size_t kPoliteBytes = 512;                 // what fits where poll() says that there is room
constexpr size_t kEscapedBytes = 2;                  // what one byte of a terminal can become
constexpr uint64_t kRetryNanoseconds = 200'000'000;  // nothing tells that a pty is opened
constexpr auto kFlushTime = std::chrono::milliseconds(200);

// What poll() says at once, or within `milliseconds`.
short ready(int fd, short events, int milliseconds = 0) {
  pollfd one{.fd = fd, .events = events, .revents = 0};
  return ::poll(&one, 1, milliseconds) > 0 ? one.revents : short{0};
}

// A reader that went away and a terminal that others have in front are errors to handle here, and no reason to stop
// or end the process.
void take_errors_for_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGPIPE, SIGTTIN, SIGTTOU}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

Result<std::unique_ptr<HostSerialLine>> HostSerialLine::open(const std::string& backend, const std::string& option_text,
                                                             EpollLoop& loop, std::function<void()> leave) {
  auto ends = open_serial_ends(backend, option_text);
  if (!ends) return ends.error();
  std::unique_ptr<HostSerialLine> line(new HostSerialLine(
      std::move(ends).value(), concat(option_text, ": ", one_line(backend)), loop, std::move(leave)));
  auto doorbell = loop.make_notifier([raw = line.get()] { raw->serve(); });
  if (!doorbell) return doorbell.error();
  line->doorbell_ = std::move(doorbell).value();
  loop.run([&] { line->start(); });
  return line;
}

HostSerialLine::HostSerialLine(SerialEndpoints ends, std::string name, EpollLoop& loop, std::function<void()> leave)
    : loop_(loop), ends_(std::move(ends)), name_(std::move(name)), leave_(std::move(leave)) {}

HostSerialLine::~HostSerialLine() {
  loop_.run([this] { stop(); });
}

void HostSerialLine::start() {
  take_errors_for_signals();
  attached_ = ends_.pty.empty() && (!ends_.input || in_foreground(ends_.input.fd()));
  if (!attached_) return retry_later();
  begin_input();
}

void HostSerialLine::stop() {
  doorbell_.reset();
  retry_timer_.reset();
  input_watch_.reset();
  output_watch_.reset();
  flush();
}

void HostSerialLine::connect(SerialListener* listener) {
  loop_.run([this, listener] {
    listener_ = listener;
    if (listener_ != nullptr && input_.size() != 0) listener_->input_arrived();
  });
}

bool HostSerialLine::send(uint8_t byte) {
  if (!output_.push(byte)) {
    // The wish, then another look; announce_room() makes room, then looks at the wish. One of us sees the other.
    room_wanted_.store(true, std::memory_order_relaxed);
    full_fence();
    if (!output_.push(byte)) return false;
  }
  doorbell_->notify();
  return true;
}

bool HostSerialLine::has_room() const {
  if (output_.room() != 0) return true;
  room_wanted_.store(true, std::memory_order_relaxed);
  full_fence();  // as in send()
  return output_.room() != 0;
}

std::optional<uint8_t> HostSerialLine::receive() {
  const auto byte = input_.take();
  if (!byte) return {};
  full_fence();  // pairs with the one in pause_input()
  if (input_paused_.load(std::memory_order_relaxed) && input_.size() <= kInputBytes / 2) doorbell_->notify();
  return byte;
}

void HostSerialLine::serve() {
  write_output();
  resume_input();
}

// Output.

void HostSerialLine::write_output() {
  if (output_watch_) return;  // full; its event goes on
  if (!ends_.pty.empty() && !attached_ && !attach()) return keep_newest();
  // No more than there is now: what comes later rings the doorbell.
  for (size_t left = output_.size(); left != 0;) {
    const ssize_t written = write_some();
    if (written < 0) {
      if (errno == EAGAIN) {
        wait_for_output();
      } else {
        output_failed(errno);
      }
      break;
    }
    output_.pop(static_cast<size_t>(written));
    left -= std::min(left, static_cast<size_t>(written));
  }
  announce_room();
}

ssize_t HostSerialLine::write_some() {
  auto part = output_.readable();
  if (ends_.may_block) {
    part = part.first(std::min(part.size(), kPoliteBytes));
    if (ready(ends_.output.fd(), POLLOUT) == 0) {
      errno = EAGAIN;
      return -1;
    }
  }
  ssize_t written;
  do {
    written = ::write(ends_.output.fd(), part.data(), part.size());
  } while (written < 0 && errno == EINTR);
  if (written == 0) errno = EAGAIN;
  return written == 0 ? -1 : written;
}

void HostSerialLine::wait_for_output() {
  output_watch_ = loop_.watch(ends_.output.fd(), EPOLLOUT, [this](uint32_t) { output_ready(); });
  if (!output_watch_) retry_later();
}

// The watch lives only while it is needed: a reader that is gone would be reported again and again.
void HostSerialLine::output_ready() {
  output_watch_.reset();
  write_output();
}

void HostSerialLine::output_failed(int error) {
  if (!ends_.pty.empty()) {
    detach();
    return keep_newest();
  }
  if (!std::exchange(loss_told_, true)) {
    log(LogLevel::kWarning, concat(name_, ": the guest's output is lost: ", errno_text(error)));
  }
  output_.pop(output_.size());
}

void HostSerialLine::keep_newest() {
  if (const size_t held = output_.size(); held > kOutputBytes / 2) output_.pop(held - kOutputBytes / 2);
  announce_room();
}

void HostSerialLine::announce_room() {
  full_fence();  // pairs with the one in send()
  if (!room_wanted_.load(std::memory_order_relaxed) || output_.room() == 0) return;
  room_wanted_.store(false, std::memory_order_relaxed);
  if (listener_ != nullptr) listener_->room_arrived();
}

void HostSerialLine::flush() {
  if (!ends_.pty.empty() && !attached_) return;
  const auto end = std::chrono::steady_clock::now() + kFlushTime;
  while (output_.size() != 0) {
    if (const ssize_t written = write_some(); written > 0) {
      output_.pop(static_cast<size_t>(written));
      continue;
    }
    if (errno != EAGAIN) return;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    ready(ends_.output.fd(), POLLOUT, static_cast<int>(left.count()));
  }
}

// Input.

void HostSerialLine::begin_input() {
  if (!ends_.input || !attached_) return;
  input_watch_ = loop_.watch(ends_.input.fd(), EPOLLIN, [this](uint32_t) { read_some(); });
  if (input_watch_) return;
  while (read_some()) {  // a file: always ready
  }
}

// False: no more now.
bool HostSerialLine::read_some() {
  std::array<uint8_t, 1024> bytes;
  const size_t room = input_.room();
  if (room < kEscapedBytes) {
    pause_input();
    return false;
  }
  // A Ctrl-a that was kept may come on top of what is read now.
  const ssize_t count = ::read(ends_.input.fd(), bytes.data(), std::min(bytes.size(), room - 1));
  if (count > 0) {
    pass_on({bytes.data(), static_cast<size_t>(count)});
    return true;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  input_ended(count < 0 ? errno : 0);
  return false;
}

void HostSerialLine::pass_on(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (!ends_.user) {
      input_.push(byte);
      continue;
    }
    const EscapeFilter::Output output = escape_.feed(byte);
    for (const uint8_t passed : output.for_guest()) input_.push(passed);
    if (output.leave && leave_) std::exchange(leave_, nullptr)();
  }
  if (listener_ != nullptr && input_.size() != 0) listener_->input_arrived();
}

void HostSerialLine::pause_input() {
  input_watch_.reset();
  input_paused_.store(true, std::memory_order_relaxed);
  full_fence();  // pairs with the one in receive(): it sees the pause, or we see the room that it made
  if (input_.size() <= kInputBytes / 2) doorbell_->notify();
}

void HostSerialLine::resume_input() {
  if (!input_paused_.load(std::memory_order_relaxed) || input_.size() > kInputBytes / 2) return;
  input_paused_.store(false, std::memory_order_relaxed);
  begin_input();
}

void HostSerialLine::input_ended(int error) {
  input_watch_.reset();
  if (!ends_.pty.empty() || (error == EIO && !in_foreground(ends_.input.fd()))) return detach();
  ends_.input.reset();  // the guest goes on without
}

// Someone to talk to.

void HostSerialLine::detach() {
  attached_ = false;
  input_watch_.reset();
  retry_later();
}

void HostSerialLine::retry_later() {
  if (retry_timer_) return;
  auto timer = loop_.make_timer([this] { retry(); });
  if (!timer) return log(LogLevel::kWarning, concat(name_, ": ", timer.error().message));
  retry_timer_ = std::move(timer).value();
  retry_timer_->start_once(kRetryNanoseconds);
}

void HostSerialLine::retry() {
  retry_timer_.reset();
  if (!attached_ && !attach()) return retry_later();
  write_output();
}

bool HostSerialLine::attach() {
  attached_ = ends_.pty.empty() ? in_foreground(ends_.input.fd()) : pty_open();
  if (!attached_) return false;
  if (ends_.raw) {
    renew_raw_terminals();
  } else if (ends_.pty.empty()) {
    ends_.raw = RawTerminal::enter(ends_.input.fd(), ends_.user);
  }
  if (!input_paused_.load(std::memory_order_relaxed)) begin_input();
  return true;
}

// Somebody has the other side, or had it and left something.
bool HostSerialLine::pty_open() const {
  const short events = ready(ends_.output.fd(), POLLIN);
  return (events & POLLHUP) == 0 || (events & POLLIN) != 0;
}

}  // namespace acrn
