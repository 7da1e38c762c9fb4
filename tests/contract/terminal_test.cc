#include "dm/serial/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "acrn/base/unique_fd.h"
#include "dm/mem/bus_errors.h"
#include "dm/mem/shared_mapping.h"
#include "tests/contract/serial_rig.h"

// Terminals become raw in children only: the handlers of crashes are set once in a process.

namespace acrn {
namespace {

using test::in_child;
using test::Pty;

// Ends the child in a way, with the terminal raw; its mode must be as before afterwards.
template <class End>
int leave_raw_by(End end) {
  const Pty pty;
  const int status = in_child([&] {
    // The test program's own handlers would take the crash for its own.
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) ::signal(number, SIG_DFL);
    const auto raw = RawTerminal::enter(pty.side.fd());
    EXPECT(raw != nullptr);
    EXPECT(pty.raw());
    end();
  });
  EXPECT(!pty.raw());
  return status;
}

// The child becomes the leader of a session with this terminal.
void take_terminal(const Pty& pty) {
  EXPECT(::setsid() > 0);
  EXPECT_EQ(::ioctl(pty.side.fd(), TIOCSCTTY, 0), 0);
  EXPECT_EQ(::tcgetpgrp(pty.side.fd()), ::getpgrp());
}

// Another process group comes in front of us.
void go_to_background(const Pty& pty) {
  const pid_t other = test::idle_group();
  EXPECT_EQ(::tcsetpgrp(pty.side.fd(), other), 0);
  EXPECT(!in_foreground(pty.side.fd()));
}

}  // namespace

TEST(a_terminal_is_raw_as_long_as_the_object_lives) {
  const Pty pty;
  EXPECT(!pty.raw());
  const int status = in_child([&] {
    auto raw = RawTerminal::enter(pty.side.fd());
    EXPECT(raw != nullptr);
    EXPECT(pty.raw());
    raw.reset();
    EXPECT(!pty.raw());
  });
  EXPECT_EQ(status, 0);
}

TEST(what_is_no_terminal_is_left_alone) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const UniqueFd out(ends[0]), in(ends[1]);
  EXPECT(RawTerminal::enter(ends[0]) == nullptr);
  EXPECT(RawTerminal::enter(-1) == nullptr);
}

TEST(each_of_four_terminals_gets_its_own_mode_back) {
  const Pty ptys[4];
  const int status = in_child([&] {
    std::unique_ptr<RawTerminal> raw[4];
    for (int i = 0; i < 4; i++) raw[i] = RawTerminal::enter(ptys[i].side.fd());
    for (const Pty& pty : ptys) EXPECT(pty.raw());
    const Pty fifth;
    EXPECT(RawTerminal::enter(fifth.side.fd()) == nullptr);
    raw[1].reset();
    EXPECT(!ptys[1].raw());
    EXPECT(ptys[2].raw());
    restore_terminal();
  });
  EXPECT_EQ(status, 0);
  for (const Pty& pty : ptys) EXPECT(!pty.raw());
}

TEST(exit_puts_the_terminal_back) {
  EXPECT_EQ(leave_raw_by([] { std::exit(0); }), 0);  // NOLINT(concurrency-mt-unsafe): one thread
}

TEST(a_forced_exit_puts_it_back_with_a_call) {
  leave_raw_by([] {
    restore_terminal();
    restore_terminal();
    ::_exit(0);
  });
}

TEST(abort_puts_it_back_and_still_aborts) {
  const int status = leave_raw_by([] { std::abort(); });
  EXPECT(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

TEST(a_crash_puts_it_back_and_still_crashes) {
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
    const int status = leave_raw_by([number] { ::raise(number); });
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), number);
  }
}

TEST(a_handler_that_was_there_before_runs_after) {
  const Pty pty;
  const int status = in_child([&] {
    static const Pty* terminal;
    terminal = &pty;
    ::signal(SIGFPE, [](int) { ::_exit(terminal->raw() ? 1 : 42); });
    const auto raw = RawTerminal::enter(pty.side.fd());
    ::raise(SIGFPE);
  });
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(a_mapping_that_has_lost_its_file_is_no_crash) {
  for (const bool caught_before : {false, true}) {
    const Pty pty;
    const int status = in_child([&] {
      ::signal(SIGBUS, SIG_DFL);
      if (caught_before) EXPECT(catch_bus_errors());
      const auto raw = RawTerminal::enter(pty.side.fd());
      EXPECT(catch_bus_errors());
      const UniqueFd file(::memfd_create("disk", MFD_CLOEXEC));
      EXPECT_EQ(::ftruncate(file.fd(), 4096), 0);
      int error = 0;
      const auto mapping = SharedMapping::create_for_reading(file.fd(), 0, 4096, error);
      EXPECT(mapping != nullptr);
      EXPECT_EQ(::ftruncate(file.fd(), 0), 0);
      EXPECT(*static_cast<volatile std::byte*>(mapping->data()) == std::byte{0});
      EXPECT(mapping->lost());
      EXPECT(pty.raw());
    });
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

TEST(in_the_background_the_terminal_is_not_touched) {
  const Pty pty;
  const int status = in_child([&] {
    take_terminal(pty);
    go_to_background(pty);
    EXPECT(RawTerminal::enter(pty.side.fd()) == nullptr);
    EXPECT(!pty.raw());
  });
  EXPECT_EQ(status, 0);
}

TEST(what_a_shell_has_made_of_the_terminal_is_raw_again_once_we_are_in_front) {
  const Pty pty;
  const int status = in_child([&] {
    take_terminal(pty);
    termios shells{};
    EXPECT_EQ(::tcgetattr(pty.side.fd(), &shells), 0);
    const auto raw = RawTerminal::enter(pty.side.fd());
    ::signal(SIGTTOU, SIG_IGN);
    EXPECT_EQ(::tcsetattr(pty.side.fd(), TCSANOW, &shells), 0);
    go_to_background(pty);
    renew_raw_terminals();
    EXPECT(!pty.raw());
    EXPECT_EQ(::tcsetpgrp(pty.side.fd(), ::getpgrp()), 0);
    renew_raw_terminals();
    EXPECT(pty.raw());
  });
  EXPECT_EQ(status, 0);
  EXPECT(!pty.raw());
}

TEST(putting_it_back_from_the_background_does_not_stop_us) {
  const Pty pty;
  const int status = in_child([&] {
    take_terminal(pty);
    auto raw = RawTerminal::enter(pty.side.fd());
    EXPECT(raw != nullptr);
    go_to_background(pty);
    raw.reset();
    EXPECT(!pty.raw());
  });
  EXPECT_EQ(status, 0);
}

}  // namespace acrn
