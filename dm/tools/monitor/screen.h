// Screen: a terminal that a command fills while it runs. It has the alternate screen, so what was there before comes
// back at its end. Signals that would end the process are read instead. One thread.
#pragma once

#include <termios.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "acrn/base/unique_fd.h"

namespace acrn {

class Screen {
 public:
  // Null: standard input or output is no terminal, or is another job's now.
  static std::unique_ptr<Screen> enter();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  struct Size {
    size_t columns = 80, rows = 24;
  };
  Size size() const;

  // These are the lines from now on, without their ends, each just as wide as the screen. In one write, and nothing is
  // cleared that will be drawn again, so it does not flicker.
  void draw(const std::vector<std::string>& lines);

  // Readable when there may be an event.
  int signals() const { return signals_.fd(); }
  static int keys();
  enum class Event : unsigned char { kNothing, kResized, kQuit };
  // What has come, without waiting: a key `q`, an interrupt or the end of input; a new size, or we go on after a stop.
  Event take_event();

 private:
  Screen(const termios& before, const sigset_t& mask, UniqueFd signals);
  void take_terminal();

  const termios before_;
  const sigset_t mask_before_;
  UniqueFd signals_;
};

// Whether the terminal, or who reads our output, takes UTF-8.
bool output_is_unicode();

}  // namespace acrn
