#include "dm/serial/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <optional>

#include "dm/mem/bus_errors.h"

namespace acrn {

// What a signal handler needs, where it can find it: static, and complete before `state` says so.
struct RawTerminal::Slot {
  enum State { kFree, kTaken, kRaw };
  std::atomic<State> state{kFree};
  static_assert(std::atomic<State>::is_always_lock_free);
  int fd = -1;  // our own, so that nobody closes it under us
  termios before{}, raw{};
};

RawTerminal::Slot RawTerminal::slots_[4];

namespace {

constexpr int kCrashes[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
struct sigaction previous_actions[std::size(kCrashes)];

// A sanitizer's or a program's own handler runs after ours; without one the signal does what it always does.
void chain(int number, siginfo_t* info, void* context, const struct sigaction& previous) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    ::sigaction(number, &previous, nullptr);
    // Delivered when this handler returns: until then the signal is blocked.
    ::raise(number);
  }
}

void crashed(int number, siginfo_t* info, void* context) {
  // Not a crash: a file has lost a piece that was mapped.
  if (number == SIGBUS && repair_bus_error(*info)) return;
  const int saved = errno;
  restore_terminal();
  errno = saved;
  for (size_t i = 0; i < std::size(kCrashes); i++) {
    if (kCrashes[i] == number) chain(number, info, context, previous_actions[i]);
  }
}

void guard_exits() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::atexit(restore_terminal);
    struct sigaction action {};
    action.sa_sigaction = crashed;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t i = 0; i < std::size(kCrashes); i++) {
      // Known before ours can run.
      ::sigaction(kCrashes[i], nullptr, &previous_actions[i]);
      ::sigaction(kCrashes[i], &action, nullptr);
    }
  });
}

void set_mode(int fd, const termios& mode) {
  // From the background this would stop us.
  sigset_t stop, before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &stop, &before);
  ::tcsetattr(fd, TCSANOW, &mode);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

bool in_foreground(int fd) {
  const pid_t front = ::tcgetpgrp(fd);
  return front < 0 || front == ::getpgrp();
}

void RawTerminal::put_back(Slot& slot) {
  if (slot.state.load(std::memory_order_acquire) != Slot::kRaw) return;  // pairs with the release in enter()
  set_mode(slot.fd, slot.before);
}

void restore_terminal() {
  const int saved = errno;
  for (RawTerminal::Slot& slot : RawTerminal::slots_) RawTerminal::put_back(slot);
  errno = saved;
}

void renew_raw_terminals() {
  for (const RawTerminal::Slot& slot : RawTerminal::slots_) {
    if (slot.state.load() == RawTerminal::Slot::kRaw && in_foreground(slot.fd)) set_mode(slot.fd, slot.raw);
  }
}

// How the terminal was, if it is raw already for another port.
std::optional<termios> RawTerminal::mode_before(int fd) {
  unsigned device = 0, other = 0;
  if (::ioctl(fd, TIOCGDEV, &device) != 0) return std::nullopt;
  for (const Slot& slot : slots_) {
    if (slot.state.load(std::memory_order_acquire) != Slot::kRaw) continue;
    if (::ioctl(slot.fd, TIOCGDEV, &other) == 0 && other == device) return slot.before;
  }
  return std::nullopt;
}

std::unique_ptr<RawTerminal> RawTerminal::enter(int fd, bool shared) {
  termios mode{};
  if (::tcgetattr(fd, &mode) != 0 || !in_foreground(fd)) return nullptr;
  for (Slot& slot : slots_) {
    auto expected = Slot::kFree;
    if (!slot.state.compare_exchange_strong(expected, Slot::kTaken)) continue;
    guard_exits();
    slot.before = mode_before(fd).value_or(mode);
    slot.fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (slot.fd < 0) {
      slot.state.store(Slot::kFree);
      return nullptr;
    }
    ::cfmakeraw(&mode);
    if (shared) mode.c_oflag |= OPOST;
    slot.raw = mode;
    // Marked first: a crash in between puts back what is there already.
    slot.state.store(Slot::kRaw, std::memory_order_release);
    set_mode(slot.fd, mode);
    return std::unique_ptr<RawTerminal>(new RawTerminal(slot));
  }
  return nullptr;
}

RawTerminal::~RawTerminal() {
  put_back(slot_);
  slot_.state.store(Slot::kTaken, std::memory_order_release);
  ::close(slot_.fd);
  slot_.state.store(Slot::kFree, std::memory_order_release);
}

}  // namespace acrn
