#include "hw/platform/rtc.h"

#include <algorithm>
#include <chrono>

#include "hw/platform/port_bytes.h"

namespace acrn {
namespace {

enum : unsigned { kIndexPort = 0, kDataPort = 1 };

enum : uint8_t {
  kSecond = 0x00,
  kSecondAlarm = 0x01,
  kMinute = 0x02,
  kMinuteAlarm = 0x03,
  kHour = 0x04,
  kHourAlarm = 0x05,
  kWeekday = 0x06,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kRegisterA = 0x0a,
  kRegisterB = 0x0b,
  kRegisterC = 0x0c,
  kRegisterD = 0x0d,
};

constexpr uint8_t kIndexBits = 0x7f;        // bit 7 of the port masks the NMI
constexpr uint8_t kUpdating = 0x80;         // A: never seen, since all registers are read at one moment
constexpr uint8_t kDividers = 0x26;         // A: 32768 Hz, 1024 Hz periodic rate
constexpr uint8_t kSet = 0x80;              // B: the clock stands while it is set
constexpr uint8_t kBinary = 0x04;           // B
constexpr uint8_t kTwentyFourHours = 0x02;  // B
constexpr uint8_t kValid = 0x80;            // D: the battery is good
constexpr uint8_t kAfternoon = 0x80;        // of the hour, in 12-hour format
constexpr uint8_t kRate = 0x0f;             // A: of the periodic interrupt
constexpr uint8_t kAnyTime = 0xc0;          // of a part of the alarm: it matches any
constexpr uint8_t kEnables = RtcInterrupts::kUpdate | RtcInterrupts::kAlarm | RtcInterrupts::kPeriodic;  // B, as in C

constexpr int64_t kNanoseconds = 1'000'000'000;
// The host's clock may be set meanwhile, which nobody tells.
constexpr int64_t kLongestWait = 60 * kNanoseconds;

using Ticks = std::chrono::duration<int64_t, std::ratio<1, RtcInterrupts::kSecond>>;

int64_t seconds_of(int64_t nanoseconds) {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(nanoseconds)).count();
}
// Both without a product that is out of range.
int64_t ticks_at(int64_t nanoseconds) {
  const int64_t seconds = seconds_of(nanoseconds), rest = nanoseconds - seconds * kNanoseconds;
  return seconds * RtcInterrupts::kSecond + rest * RtcInterrupts::kSecond / kNanoseconds;
}
// The first moment at which ticks_at() is that.
int64_t nanoseconds_at(int64_t ticks) {
  const int64_t seconds = std::chrono::floor<std::chrono::seconds>(Ticks(ticks)).count();
  const int64_t rest = (ticks - seconds * RtcInterrupts::kSecond) * kNanoseconds;
  return seconds * kNanoseconds + (rest + RtcInterrupts::kSecond - 1) / RtcInterrupts::kSecond;
}

}  // namespace

Rtc::Rtc(EventLoop& loop, IrqPin& pin, std::function<int64_t()> clock)
    : loop_(loop), pin_(pin), clock_(std::move(clock)), register_a_(kDividers), register_b_(kTwentyFourHours) {
  MutexLock lock(mutex_);
  interrupts_.advance(ticks_at(clock_()), settings());
  interrupts_.clear();
}

Result<std::unique_ptr<Rtc>> Rtc::create(EventLoop& loop, IrqPin& pin, std::function<int64_t()> clock) {
  std::unique_ptr<Rtc> rtc(new Rtc(loop, pin, std::move(clock)));
  auto alarm = loop.make_timer([raw = rtc.get()] { raw->on_alarm(); });
  if (!alarm) return alarm.error();
  rtc->alarm_ = std::move(alarm).value();
  return rtc;
}

Rtc::~Rtc() {
  loop_.run([this] { alarm_.reset(); });
}

uint32_t Rtc::read(uint16_t offset, unsigned size) {
  const int64_t wall = clock_();
  bool acknowledged = false;
  const uint32_t value = read_bytes(offset, size, kPorts, [&](unsigned port) {
    MutexLock lock(mutex_);
    if (port != kDataPort) return uint8_t{0xff};  // the index is write-only
    acknowledged = index_ == kRegisterC;
    return read_data(advance(wall));
  });
  if (acknowledged) {
    MutexLock lock(output_mutex_);
    // Low, if only for a moment: what may have come since is an edge of its own.
    if (std::exchange(driven_, false)) pin_.set_level(false);
    update_outputs();
  }
  return value;
}

void Rtc::write(uint16_t offset, unsigned size, uint32_t value) {
  const int64_t wall = clock_();
  bool changed = false;
  write_bytes(offset, size, kPorts, value, [&](unsigned port, uint8_t byte) {
    MutexLock lock(mutex_);
    if (port == kIndexPort) {
      index_ = byte & kIndexBits;
    } else {
      write_data(advance(wall), byte);
      changed = true;
    }
  });
  if (!changed) return;
  MutexLock lock(output_mutex_);
  update_outputs();
}

// What has happened until now, and the host's second of it.
int64_t Rtc::advance(int64_t wall) {
  interrupts_.advance(ticks_at(wall) + offset_ * RtcInterrupts::kSecond, settings());
  return seconds_of(wall);
}

RtcInterrupts::Settings Rtc::settings() const {
  // 1 and 2 are the rates of 8 and 9 (MC146818A table 5).
  const unsigned rate = register_a_ & kRate, shift = rate == 0 ? 0 : rate < 3 ? rate + 6 : rate - 1;
  return {.enabled = static_cast<uint8_t>(register_b_ & kEnables),
          .updates = !stopped_,
          .period = rate == 0 ? 0 : int64_t{1} << shift,
          .alarm = {
              .hour = alarm_part(kHourAlarm), .minute = alarm_part(kMinuteAlarm), .second = alarm_part(kSecondAlarm)}};
}

std::optional<int> Rtc::alarm_part(uint8_t index) const {
  const uint8_t value = ram_[index];
  if ((value & kAnyTime) == kAnyTime) return std::nullopt;
  return index == kHourAlarm ? decode_hour(value) : decode(value);
}

void Rtc::on_alarm() {
  MutexLock lock(output_mutex_);
  update_outputs();
}

// Drives the pin, and sets the alarm for when that may change.
void Rtc::update_outputs() {
  const int64_t wall = clock_();
  bool wanted = false;
  std::optional<int64_t> next;
  {
    MutexLock lock(mutex_);
    advance(wall);
    const RtcInterrupts::Settings now = settings();
    wanted = interrupts_.asserted(now);
    next = interrupts_.next(now);
    if (next) *next = nanoseconds_at(*next - offset_ * RtcInterrupts::kSecond);
  }
  if (wanted != driven_) {
    driven_ = wanted;
    pin_.set_level(wanted);
  }
  if (next) alarm_->start_once(static_cast<uint64_t>(std::clamp(*next - wall, int64_t{1}, kLongestWait)));
}

void Rtc::reset() {
  MutexLock output(output_mutex_);
  if (std::exchange(driven_, false)) pin_.set_level(false);
  MutexLock lock(mutex_);
  interrupts_.clear();
  index_ = 0;
  register_a_ = kDividers;
  register_b_ = kTwentyFourHours;
  stopped_.reset();
}

uint8_t Rtc::read_data(int64_t now) {
  const DateTime time = current(now);
  switch (index_) {
    case kSecond: return encode(time.second);
    case kMinute: return encode(time.minute);
    case kHour: return encode_hour(time.hour);
    case kWeekday: return encode(static_cast<int>(weekday(time)));
    case kDay: return encode(time.day);
    case kMonth: return encode(time.month);
    case kYear: return encode(time.year % 100);
    case kCenturyIndex: return encode(time.year / 100);
    case kRegisterA: return register_a_;
    case kRegisterB: return register_b_;
    case kRegisterC: return interrupts_.take(settings());
    case kRegisterD: return kValid;
    default: return ram_[index_];
  }
}

void Rtc::write_data(int64_t now, uint8_t value) {
  DateTime time = current(now);
  switch (index_) {
    case kSecond: time.second = decode(value); break;
    case kMinute: time.minute = decode(value); break;
    case kHour: time.hour = decode_hour(value); break;
    case kDay: time.day = decode(value); break;
    case kMonth: time.month = decode(value); break;
    case kYear: time.year = time.year / 100 * 100 + decode(value) % 100; break;
    case kCenturyIndex: time.year = decode(value) % 100 * 100 + time.year % 100; break;
    case kWeekday: return;  // follows from the date
    case kRegisterA: register_a_ = value & ~kUpdating; return;
    case kRegisterB: return write_format(now, value);
    case kRegisterC:
    case kRegisterD: return;  // read-only
    default: ram_[index_] = value; return;
  }
  if (stopped_) {
    stopped_ = time;
  } else {
    set_time(time, now);
  }
}

// The guest's clock goes on from there.
void Rtc::set_time(const DateTime& time, int64_t now) {
  const int64_t before = offset_;
  offset_ = seconds_at(time) - now;
  interrupts_.shift((offset_ - before) * RtcInterrupts::kSecond);
}

void Rtc::write_format(int64_t now, uint8_t value) {
  const DateTime time = current(now);
  register_b_ = value;
  if ((value & kSet) != 0) {
    stopped_ = time;
  } else if (stopped_) {
    set_time(time, now);
    stopped_.reset();
  }
}

Rtc::DateTime Rtc::current(int64_t now) const { return stopped_ ? *stopped_ : date_time_at(now + offset_); }

uint8_t Rtc::encode(int value) const {
  return static_cast<uint8_t>((register_b_ & kBinary) != 0 ? value : value / 10 * 16 + value % 10);
}

int Rtc::decode(uint8_t value) const {
  return (register_b_ & kBinary) != 0 ? value : (value >> 4) * 10 + (value & 0xf);
}

uint8_t Rtc::encode_hour(int hour) const {
  if ((register_b_ & kTwentyFourHours) != 0) return encode(hour);
  const int shown = hour % 12 == 0 ? 12 : hour % 12;
  return hour < 12 ? encode(shown) : encode(shown) | kAfternoon;
}

int Rtc::decode_hour(uint8_t value) const {
  if ((register_b_ & kTwentyFourHours) != 0) return decode(value);
  return decode(value & ~kAfternoon) % 12 + ((value & kAfternoon) != 0 ? 12 : 0);
}

Rtc::DateTime Rtc::date_time_at(int64_t seconds) {
  using namespace std::chrono;
  const sys_seconds time{std::chrono::seconds{seconds}};
  const sys_days days = floor<std::chrono::days>(time);
  const year_month_day date(days);
  const hh_mm_ss<std::chrono::seconds> clock(time - days);
  return {.second = static_cast<int>(clock.seconds().count()),
          .minute = static_cast<int>(clock.minutes().count()),
          .hour = static_cast<int>(clock.hours().count()),
          .day = static_cast<int>(unsigned{date.day()}),
          .month = static_cast<int>(unsigned{date.month()}),
          .year = int{date.year()}};
}

int64_t Rtc::seconds_at(const DateTime& date_time) {
  using namespace std::chrono;
  // Months and days out of range move the year; it stays one of four digits however often a guest does that.
  const int four_digits = (date_time.year % 10000 + 10000) % 10000;
  const year_month month = year{four_digits} / January + months{date_time.month - 1};
  const auto day = sys_days{month / 1}.time_since_epoch() + days{date_time.day - 1};
  return duration_cast<seconds>(day).count() + date_time.hour * 3600 + date_time.minute * 60 + date_time.second;
}

unsigned Rtc::weekday(const DateTime& date_time) {
  using namespace std::chrono;
  return std::chrono::weekday(floor<days>(sys_seconds{seconds{seconds_at(date_time)}})).c_encoding() + 1;
}

}  // namespace acrn
