#include "dm/tools/monitor/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr std::string_view kEnter = "\033[?1049h\033[?25l\033[2J";  // the alternate screen, no cursor, cleared
constexpr std::string_view kLeave = "\033[?25h\033[?1049l";
// A terminal that knows these shows all of what is between them at once.
constexpr std::string_view kBegin = "\033[?2026h\033[H", kEnd = "\033[?2026l";
constexpr std::string_view kClearBelow = "\r\n\033[J";

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(STDOUT_FILENO, text.data(), text.size());
    if (size <= 0) return;  // a terminal that has gone is heard of by a signal
    text.remove_prefix(static_cast<size_t>(size));
  }
}

bool readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) > 0;
}

bool in_foreground() { return ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

}  // namespace

std::unique_ptr<Screen> Screen::enter() {
  termios before{};
  if (::isatty(STDOUT_FILENO) != 1 || ::tcgetattr(STDIN_FILENO, &before) != 0) return nullptr;
  if (!in_foreground()) return nullptr;
  sigset_t wanted, mask;
  ::sigemptyset(&wanted);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT}) ::sigaddset(&wanted, number);
  UniqueFd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals || ::pthread_sigmask(SIG_BLOCK, &wanted, &mask) != 0) return nullptr;
  return std::unique_ptr<Screen>(new Screen(before, mask, std::move(signals)));
}

Screen::Screen(const termios& before, const sigset_t& mask, UniqueFd signals)
    : before_(before), mask_before_(mask), signals_(std::move(signals)) {
  take_terminal();
}

void Screen::take_terminal() {
  termios mode = before_;
  mode.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  mode.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped process could not put the screen back
  ::tcsetattr(STDIN_FILENO, TCSANOW, &mode);
  write_all(kEnter);
}

Screen::~Screen() {
  write_all(kLeave);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  signalfd_siginfo signal{};
  while (::read(signals_.fd(), &signal, sizeof(signal)) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

Screen::Size Screen::size() const {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

void Screen::draw(const std::vector<std::string>& lines) {
  std::string frame(kBegin);
  const size_t rows = size().rows, shown = std::min(lines.size(), rows);
  for (size_t i = 0; i < shown; i++) frame += concat(i == 0 ? "" : "\r\n", lines[i]);
  if (shown < rows) frame += kClearBelow;
  write_all(frame += kEnd);
}

int Screen::keys() { return STDIN_FILENO; }

Screen::Event Screen::take_event() {
  signalfd_siginfo signal{};
  if (::read(signals_.fd(), &signal, sizeof(signal)) == sizeof(signal)) {
    if (signal.ssi_signo == SIGCONT && in_foreground()) take_terminal();  // the shell has had it
    return signal.ssi_signo == SIGWINCH || signal.ssi_signo == SIGCONT ? Event::kResized : Event::kQuit;
  }
  if (!readable(STDIN_FILENO)) return Event::kNothing;
  char key = 0;
  if (::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') return Event::kQuit;
  return Event::kNothing;
}

bool output_is_unicode() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes it
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale(value);
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

}  // namespace acrn
