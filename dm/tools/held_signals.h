// HeldSignals: a command that a signal would end in the middle of something, so that harm was left, is asked to end
// instead. The main thread has one at a time.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>

namespace acrn {

// While it is there, SIGINT, SIGTERM, SIGHUP and SIGPIPE are noted, but for those that were ignored before. The first
// of them ends the process when it goes.
class HeldSignals {
 public:
  enum class Second : uint8_t { kIsHeld, kEndsAtOnce };
  explicit HeldSignals(Second second);
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  // The first that has come; 0: none, or nothing is held.
  static int came();

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  std::array<struct sigaction, kSignals.size()> before_;
};

}  // namespace acrn
