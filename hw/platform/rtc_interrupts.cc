#include "hw/platform/rtc_interrupts.h"

#include <algorithm>
#include <utility>

namespace acrn {
namespace {

constexpr int64_t kDay = 86400;  // seconds

int64_t floor_of(int64_t value, int64_t unit) { return value / unit - (value % unit < 0 ? 1 : 0); }

bool in_range(const std::optional<int>& part, int end) { return !part || (*part >= 0 && *part < end); }

}  // namespace

std::optional<int64_t> RtcAlarm::next(int64_t seconds) const {
  if (!in_range(hour, 24) || !in_range(minute, 60) || !in_range(second, 60)) return std::nullopt;
  const int64_t midnight = floor_of(seconds, kDay) * kDay;
  // A day has a match, so today or tomorrow there is one. Whole hours and minutes are passed over at once.
  for (int64_t at = seconds + 1 - midnight; at < 2 * kDay;) {
    const auto of_day = static_cast<int>(at % kDay);
    if (hour && of_day / 3600 != *hour) {
      at += 3600 - at % 3600;
    } else if (minute && of_day / 60 % 60 != *minute) {
      at += 60 - at % 60;
    } else if (second && of_day % 60 != *second) {
      at++;
    } else {
      return midnight + at;
    }
  }
  return std::nullopt;
}

void RtcInterrupts::advance(int64_t now, const Settings& settings) {
  const int64_t before = std::exchange(now_, now);
  if (now <= before) return;
  const int64_t second = floor_of(now, kSecond), last = floor_of(before, kSecond);
  if (settings.updates && second != last) {
    flags_ |= kUpdate;
    if (const auto alarm = settings.alarm.next(last); alarm && *alarm <= second) flags_ |= kAlarm;
  }
  if (settings.period != 0 && floor_of(now, settings.period) != floor_of(before, settings.period)) flags_ |= kPeriodic;
}

uint8_t RtcInterrupts::take(const Settings& settings) {
  const auto request = static_cast<uint8_t>(asserted(settings) ? kRequest : 0);
  return static_cast<uint8_t>(std::exchange(flags_, uint8_t{0}) | request);
}

std::optional<int64_t> RtcInterrupts::next(const Settings& settings) const {
  if (asserted(settings)) return std::nullopt;  // no other edge before register C is read
  const int64_t second = floor_of(now_, kSecond);
  std::optional<int64_t> first;
  const auto consider = [&first](int64_t time) { first = std::min(first.value_or(time), time); };
  if ((settings.enabled & kUpdate) != 0 && settings.updates) consider((second + 1) * kSecond);
  if ((settings.enabled & kAlarm) != 0 && settings.updates) {
    if (const auto alarm = settings.alarm.next(second)) consider(*alarm * kSecond);
  }
  if ((settings.enabled & kPeriodic) != 0 && settings.period != 0) {
    consider((floor_of(now_, settings.period) + 1) * settings.period);
  }
  return first;
}

}  // namespace acrn
