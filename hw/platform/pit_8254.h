// Pit8254: a PC's interval timer at ports 0x40 to 0x43, for hypervisors that have none of their own. Counter 0
// interrupts when its output rises; SystemPortB shows counter 2 and moves its gate.
//
// An interrupt is a pulse on the pin. What was missed while the alarm's thread was late is one pulse, and from one to
// the next it is 100 us or more, whatever the guest programs.
//
// Threads: any virtual CPU and the alarm's loop. mutex_ guards the registers and is never held across a call out.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "acrn/base/mutex.h"
#include "acrn/event/event_loop.h"
#include "acrn/pci/pci_function.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/port_map.h"
#include "hw/platform/pit_counter.h"

namespace acrn {

class Pit8254 final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kPitPorts.first, kPorts = kPitPorts.count;
  static constexpr uint64_t kFrequency = 1'193'182;   // Hz
  static constexpr uint64_t kShortestInterval = 120;  // CLK pulses, 100 us

  // `clock`: monotonic nanoseconds; any thread. Loop and pin outlive the timer.
  static Result<std::unique_ptr<Pit8254>> create(EventLoop& loop, IrqPin& pin, std::function<uint64_t()> clock);
  ~Pit8254() override;

  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override;

  // For SystemPortB.
  uint8_t read_port_b();
  void write_port_b(uint8_t value);

 private:
  struct State {
    // The gates of the first two are wired high.
    std::array<PitCounter, 3> counters{PitCounter(true), PitCounter(true), PitCounter(false)};
    uint64_t now = 0;  // CLK pulses
    bool speaker = false;
    bool risen = false;       // counter 0's output, and the pulse is still to come
    uint64_t not_before = 0;  // the next pulse

    void advance(uint64_t ticks);
    void write_control(uint8_t value);
    bool take_pulse();                           // whether one is due
    std::optional<uint64_t> next_pulse() const;  // when to look again, after now
  };

  Pit8254(EventLoop& loop, IrqPin& pin, std::function<uint64_t()> clock)
      : loop_(loop), pin_(pin), clock_(std::move(clock)) {}

  // The state as it is now, for one access.
  template <class Access>
  auto with_state(Access&& access);
  void on_alarm();
  void update_outputs() ACRN_REQUIRES(output_mutex_);

  EventLoop& loop_;
  IrqPin& pin_;
  const std::function<uint64_t()> clock_;
  std::unique_ptr<Timer> alarm_;
  Mutex output_mutex_;  // before leaves: one thread at a time drives pin and alarm
  std::optional<uint64_t> alarm_at_ ACRN_GUARDED_BY(output_mutex_);  // CLK pulses
  Mutex mutex_;                                                      // leaf
  State state_ ACRN_GUARDED_BY(mutex_);
};

// Port 0x61: gate and output of counter 2, and a bit that toggles with each refresh of memory.
class SystemPortB final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kSystemPortB.first, kPorts = kSystemPortB.count;

  explicit SystemPortB(Pit8254& pit) : pit_(pit) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override {}  // the timer does it

 private:
  Pit8254& pit_;
};

}  // namespace acrn
