#include "hw/platform/pit_8254.h"

#include <algorithm>
#include <utility>

#include "hw/platform/port_bytes.h"

namespace acrn {
namespace {

constexpr unsigned kControlPort = 3;

// The control word: which counter, or all of those that a read-back names.
constexpr unsigned kSelectShift = 6, kReadBack = 3;
constexpr uint8_t kAccess = 0x30;  // 0: latch the count
constexpr uint8_t kKeepCount = 0x20, kKeepStatus = 0x10, kFirstCounter = 0x02;

enum : uint8_t { kGate2 = 0x01, kSpeaker = 0x02, kRefresh = 0x10, kOutput2 = 0x20 };
constexpr uint64_t kRefreshInterval = 18;  // CLK pulses, 15 us

constexpr uint64_t kSecond = 1'000'000'000;

uint64_t ticks_at(uint64_t nanoseconds) {
  return nanoseconds / kSecond * Pit8254::kFrequency + nanoseconds % kSecond * Pit8254::kFrequency / kSecond;
}

// The first moment at which ticks_at() is that.
uint64_t nanoseconds_at(uint64_t ticks) {
  const uint64_t rest = ticks % Pit8254::kFrequency * kSecond;
  return ticks / Pit8254::kFrequency * kSecond + (rest + Pit8254::kFrequency - 1) / Pit8254::kFrequency;
}

}  // namespace

Result<std::unique_ptr<Pit8254>> Pit8254::create(EventLoop& loop, IrqPin& pin, std::function<uint64_t()> clock) {
  std::unique_ptr<Pit8254> pit(new Pit8254(loop, pin, std::move(clock)));
  auto alarm = loop.make_timer([raw = pit.get()] { raw->on_alarm(); });
  if (!alarm) return alarm.error();
  pit->alarm_ = std::move(alarm).value();
  return pit;
}

Pit8254::~Pit8254() {
  loop_.run([this] { alarm_.reset(); });
}

template <class Access>
auto Pit8254::with_state(Access&& access) {
  const uint64_t now = ticks_at(clock_());
  MutexLock lock(mutex_);
  state_.advance(now);
  return access(state_);
}

uint32_t Pit8254::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [this](unsigned port) {
    return with_state([port](State& state) {
      return port == kControlPort ? uint8_t{0xff} : state.counters[port].read();  // the control word is write-only
    });
  });
}

void Pit8254::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned port, uint8_t byte) {
    with_state([port, byte](State& state) {
      if (port == kControlPort) return state.write_control(byte);
      state.counters[port].write(byte);
    });
  });
  MutexLock lock(output_mutex_);
  update_outputs();
}

uint8_t Pit8254::read_port_b() {
  return with_state([](const State& state) {
    const PitCounter& counter = state.counters[2];
    return static_cast<uint8_t>((counter.gate() ? kGate2 : 0) | (state.speaker ? kSpeaker : 0) |
                                (state.now / kRefreshInterval % 2 != 0 ? kRefresh : 0) |
                                (counter.output() ? kOutput2 : 0));
  });
}

void Pit8254::write_port_b(uint8_t value) {
  with_state([value](State& state) {
    state.counters[2].set_gate((value & kGate2) != 0);
    state.speaker = (value & kSpeaker) != 0;
  });
}

// Under both locks: a pulse that was under way is over when this returns, and nothing comes of it afterwards.
void Pit8254::reset() {
  MutexLock output(output_mutex_);
  MutexLock lock(mutex_);
  state_ = State{};
}

// Time may have been read before another thread's access that was served first.
void Pit8254::State::advance(uint64_t ticks) {
  now = std::max(now, ticks);
  const auto rise = counters[0].next_rise();
  if (rise && *rise <= now) risen = true;
  for (PitCounter& counter : counters) counter.advance(now);
}

void Pit8254::State::write_control(uint8_t value) {
  const unsigned select = value >> kSelectShift;
  if (select == kReadBack) {
    for (unsigned i = 0; i < counters.size(); i++) {
      if ((value & kFirstCounter << i) == 0) continue;
      if ((value & kKeepCount) == 0) counters[i].latch_count();
      if ((value & kKeepStatus) == 0) counters[i].latch_status();
    }
  } else if ((value & kAccess) == 0) {
    counters[select].latch_count();
  } else {
    const bool low = !counters[0].output();
    counters[select].program(value);
    if (low && counters[0].output()) risen = true;  // a new mode begins at its own level at once
  }
}

bool Pit8254::State::take_pulse() {
  if (!risen || now < not_before) return false;
  risen = false;
  not_before = now + kShortestInterval;
  return true;
}

std::optional<uint64_t> Pit8254::State::next_pulse() const {
  if (risen) return not_before;
  const auto rise = counters[0].next_rise();
  return rise ? std::optional(std::max(*rise, not_before)) : std::nullopt;
}

void Pit8254::on_alarm() {
  MutexLock lock(output_mutex_);
  alarm_at_.reset();
  update_outputs();
}

// Sends the pulse that is due and sets the alarm for the next.
void Pit8254::update_outputs() {
  const uint64_t now = clock_();
  bool due = false;
  std::optional<uint64_t> next;
  {
    MutexLock lock(mutex_);
    state_.advance(ticks_at(now));
    due = state_.take_pulse();
    next = state_.next_pulse();
  }
  if (due) {
    pin_.set_level(true);
    pin_.set_level(false);
  }
  if (next && next != alarm_at_) alarm_->start_once(nanoseconds_at(*next) - now);
  alarm_at_ = next;  // one that is no longer needed finds nothing to do
}

uint32_t SystemPortB::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [this](unsigned) { return pit_.read_port_b(); });
}

void SystemPortB::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned, uint8_t byte) { pit_.write_port_b(byte); });
}

}  // namespace acrn
