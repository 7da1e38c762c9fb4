// RtcInterrupts: what register C of an MC146818 says, and when it will say more: the end of an update each second, the
// alarm, and the periodic interrupt. Times are the guest's, since 1970, in ticks of the clock's 32768 Hz. Pure.
#pragma once

#include <cstdint>
#include <optional>

namespace acrn {

// When the alarm goes off; a part that is not there matches any.
struct RtcAlarm {
  std::optional<int> hour, minute, second;

  // The first second after `seconds` (since 1970) that matches; none if a part is out of range.
  std::optional<int64_t> next(int64_t seconds) const;
};

class RtcInterrupts {
 public:
  static constexpr int64_t kSecond = 32768;  // ticks

  enum : uint8_t { kUpdate = 0x10, kAlarm = 0x20, kPeriodic = 0x40, kRequest = 0x80 };

  struct Settings {
    uint8_t enabled = 0;  // of the first three
    bool updates = true;  // false while the guest sets the clock
    int64_t period = 0;   // 0: no periodic interrupt
    RtcAlarm alarm;
  };

  // The guest has set its clock by so much.
  void shift(int64_t ticks) { now_ += ticks; }
  // Time has come to be `now`, with these settings all the while. It may go back.
  void advance(int64_t now, const Settings& settings);
  // Whether the interrupt's pin is driven.
  bool asserted(const Settings& settings) const { return (flags_ & settings.enabled) != 0; }
  // Register C, which is 0 then.
  uint8_t take(const Settings& settings);
  void clear() { flags_ = 0; }
  // When an interrupt that is not requested yet will be; none: without a change of the settings never.
  std::optional<int64_t> next(const Settings& settings) const;

 private:
  int64_t now_ = 0;
  uint8_t flags_ = 0;
};

}  // namespace acrn
