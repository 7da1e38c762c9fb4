// RawTerminal: a terminal in raw mode, put back on every way out: the object's end, exit(), a signal that is a crash,
// and restore_terminal() before anything else that ends the process at once.
#pragma once

#include <termios.h>

#include <memory>
#include <optional>

namespace acrn {

class RawTerminal {
 public:
  // `shared`: others write to it too, our messages among them, so a line feed of theirs still begins a line.
  // Any thread. Empty: no terminal, one that we are in the background of, or more of them than a board has ports.
  static std::unique_ptr<RawTerminal> enter(int fd, bool shared = false);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  struct Slot;
  explicit RawTerminal(Slot& slot) : slot_(slot) {}
  static void put_back(Slot& slot);
  static std::optional<termios> mode_before(int fd);
  friend void restore_terminal();
  friend void renew_raw_terminals();

  static Slot slots_[];
  Slot& slot_;
};

// False if `fd` is our controlling terminal and another process group is in front of it.
bool in_foreground(int fd);

// Puts back every terminal that is raw. May be called from a signal handler, more than once, before _exit().
void restore_terminal();

// Makes those raw again that we are in the foreground of: a shell gives a job that was stopped, or was in the
// background, the mode of its own. On the thread that ends them.
void renew_raw_terminals();

}  // namespace acrn
