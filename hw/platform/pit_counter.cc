#include "hw/platform/pit_counter.h"

#include <algorithm>
#include <utility>

namespace acrn {
namespace {

// The control word.
constexpr uint8_t kBcd = 0x01;
constexpr uint8_t kAccess = 0x30, kLowByte = 0x10, kHighByte = 0x20, kBothBytes = 0x30;
constexpr uint8_t kProgrammed = 0x3f;  // what the status repeats

constexpr uint8_t kOutput = 0x80, kNullCount = 0x40;  // the status

constexpr uint32_t kBinaryCounts = 0x10000, kBcdCounts = 10000;

uint32_t from_bcd(uint32_t value) {
  return (value >> 12) * 1000 + (value >> 8 & 0xf) * 100 + (value >> 4 & 0xf) * 10 + (value & 0xf);
}

uint32_t to_bcd(uint32_t value) {
  return value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
}

}  // namespace

void PitCounter::advance(uint64_t now) {
  now_ = std::max(now_, now);
  if (load_at_ && *load_at_ <= now_) load();
}

void PitCounter::program(uint8_t control) {
  PitCounter programmed(gate_);
  programmed.control_ = control & kProgrammed;
  programmed.mode_ = control >> 1 & 7;
  if (programmed.mode_ > 5) programmed.mode_ -= 4;  // bit 2 does not count in modes 2 and 3
  programmed.now_ = now_;
  *this = programmed;
}

void PitCounter::write(uint8_t byte) {
  if (mode_ == 0) stop();
  const uint8_t access = control_ & kAccess;
  if (access == kBothBytes && !std::exchange(half_written_, !half_written_)) {
    low_byte_ = byte;
  } else {
    accept(access == kLowByte ? byte : uint32_t{byte} << 8 | (access == kBothBytes ? low_byte_ : 0));
  }
}

void PitCounter::accept(uint32_t value) {
  const bool bcd = (control_ & kBcd) != 0;
  reload_ = bcd ? from_bcd(value) : value;
  if (reload_ == 0) reload_ = bcd ? kBcdCounts : kBinaryCounts;
  if (periodic()) reload_ = std::max(reload_, 2u);  // 1 is not allowed there: it would leave no room for a pulse
  armed_ = null_count_ = true;
  if (mode_ == 0 || mode_ == 4 || (periodic() && !loaded_)) {
    load_at_ = now_ + 1;
  } else if (periodic() && running_) {
    // The rate generator goes on to the end of its period, the square wave to that of its half.
    const uint64_t position = elapsed(now_) % count_;
    load_at_ = now_ - position + (position < high_half(count_) ? high_half(count_) : count_);
  }
}

// Where a count that is loaded then begins: a square wave may be about to begin its low half.
uint64_t PitCounter::first_elapsed(uint64_t at) const {
  return mode_ == 3 && running_ && elapsed(at) % count_ != 0 ? high_half(reload_) : 0;
}

void PitCounter::load() {
  elapsed_ = first_elapsed(*load_at_);
  since_ = *load_at_;
  count_ = reload_;
  loaded_ = true;
  running_ = may_run();
  null_count_ = false;
  load_at_.reset();
}

// A one-shot, once triggered, does not look at its gate.
bool PitCounter::may_run() const { return loaded_ && (mode_ == 1 || mode_ == 5 || (gate_ && !held())); }

void PitCounter::stop() {
  elapsed_ = elapsed(now_);
  running_ = false;
}

void PitCounter::set_gate(bool level) {
  if (level == std::exchange(gate_, level)) return;
  if (mode_ == 0 || mode_ == 4) {
    if (!level) return stop();
    running_ = may_run();
    since_ = now_;
  } else if (level) {
    if (armed_) load_at_ = now_ + 1;  // a trigger
  } else if (periodic()) {
    if (running_) load_at_.reset();  // there is no end of the period to wait for
    stop();
  }
}

bool PitCounter::output() const {
  const uint64_t elapsed = this->elapsed(now_);
  switch (mode_) {
    case 0: return loaded_ && !held() && !load_at_ && elapsed >= count_;
    case 1: return !loaded_ || elapsed >= count_;
    case 2: return !running_ || elapsed % count_ != count_ - 1;
    case 3: return !running_ || elapsed % count_ < high_half(count_);
    default: return !loaded_ || elapsed != count_;
  }
}

std::optional<uint64_t> PitCounter::rise_after(uint32_t count, uint64_t elapsed) const {
  if (periodic()) return (elapsed / count + 1) * count;
  const uint64_t rise = mode_ < 2 ? count : count + 1;
  return elapsed < rise ? std::optional(rise) : std::nullopt;
}

std::optional<uint64_t> PitCounter::next_rise() const {
  if (running_) {
    const uint64_t start = now_ - elapsed(now_);
    const auto rise = rise_after(count_, elapsed(now_));
    if (rise && (!load_at_ || start + *rise <= *load_at_)) return start + *rise;
  }
  if (!load_at_ || held()) return std::nullopt;
  const uint64_t first = first_elapsed(*load_at_);
  return *load_at_ - first + *rise_after(reload_, first);
}

uint16_t PitCounter::count() const {
  if (!loaded_) return 0;
  const bool bcd = (control_ & kBcd) != 0;
  const uint32_t counts = bcd ? kBcdCounts : kBinaryCounts;
  const uint64_t elapsed = this->elapsed(now_);
  uint64_t left = count_ + counts - elapsed % counts;
  if (periodic()) {
    const uint64_t position = elapsed % count_;
    // A square wave counts by two, in each half from the next even number down.
    left = mode_ == 2 ? count_ - position : (count_ & ~1u) - 2 * (position % high_half(count_));
  }
  left %= counts;
  return static_cast<uint16_t>(bcd ? to_bcd(static_cast<uint32_t>(left)) : left);
}

void PitCounter::latch_count() {
  if (!latched_count_) latched_count_ = count();
}

void PitCounter::latch_status() {
  if (latched_status_) return;
  latched_status_ = static_cast<uint8_t>((output() ? kOutput : 0) | (null_count_ ? kNullCount : 0) | control_);
}

uint8_t PitCounter::read() {
  if (latched_status_) return *std::exchange(latched_status_, std::nullopt);
  const uint8_t access = control_ & kAccess;
  const bool high = access == kHighByte || (access == kBothBytes && half_read_);
  const uint16_t value = latched_count_.value_or(count());
  if (access == kBothBytes) half_read_ = !high;
  if (access != kBothBytes || high) latched_count_.reset();
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

}  // namespace acrn
