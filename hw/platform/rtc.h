// Rtc: the clock and CMOS RAM of a PC (MC146818) at ports 0x70 (index) and 0x71 (data). It shows the host's time, UTC;
// a guest that sets the clock moves its own view of it. Interrupt 8 is for its updates, its alarm and its period: the
// pin is driven until the guest reads register C, so however often it is asked for, the guest sets the pace.
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
#include "hw/platform/rtc_interrupts.h"

namespace acrn {

class Rtc final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kRtcPorts.first, kPorts = kRtcPorts.count;
  static constexpr uint8_t kCenturyIndex = 0x32;  // the FADT names it

  // `clock`: nanoseconds since 1970, UTC; called on any thread, under no lock. Loop and pin outlive the clock.
  static Result<std::unique_ptr<Rtc>> create(EventLoop& loop, IrqPin& pin, std::function<int64_t()> clock);
  ~Rtc() override;

  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override;  // the battery keeps time and RAM

 private:
  // As a guest left them; seconds_at() carries over what is out of range.
  struct DateTime {
    int second = 0, minute = 0, hour = 0, day = 1, month = 1, year = 1970;
  };

  Rtc(EventLoop& loop, IrqPin& pin, std::function<int64_t()> clock);

  static DateTime date_time_at(int64_t seconds);
  static int64_t seconds_at(const DateTime& date_time);
  static unsigned weekday(const DateTime& date_time);  // 1: Sunday

  uint8_t read_data(int64_t now) ACRN_REQUIRES(mutex_);
  void write_data(int64_t now, uint8_t value) ACRN_REQUIRES(mutex_);
  void write_format(int64_t now, uint8_t value) ACRN_REQUIRES(mutex_);
  void set_time(const DateTime& time, int64_t now) ACRN_REQUIRES(mutex_);
  DateTime current(int64_t now) const ACRN_REQUIRES(mutex_);
  uint8_t encode(int value) const ACRN_REQUIRES(mutex_);
  int decode(uint8_t value) const ACRN_REQUIRES(mutex_);
  uint8_t encode_hour(int hour) const ACRN_REQUIRES(mutex_);
  int decode_hour(uint8_t value) const ACRN_REQUIRES(mutex_);

  int64_t advance(int64_t wall) ACRN_REQUIRES(mutex_);
  RtcInterrupts::Settings settings() const ACRN_REQUIRES(mutex_);
  std::optional<int> alarm_part(uint8_t index) const ACRN_REQUIRES(mutex_);
  void on_alarm();
  void update_outputs() ACRN_REQUIRES(output_mutex_);

  EventLoop& loop_;
  IrqPin& pin_;
  const std::function<int64_t()> clock_;
  std::unique_ptr<Timer> alarm_;
  Mutex output_mutex_;  // before leaves: one thread at a time drives pin and alarm
  bool driven_ ACRN_GUARDED_BY(output_mutex_) = false;
  Mutex mutex_;  // leaf
  uint8_t index_ ACRN_GUARDED_BY(mutex_) = 0;
  uint8_t register_a_ ACRN_GUARDED_BY(mutex_);
  uint8_t register_b_ ACRN_GUARDED_BY(mutex_);
  int64_t offset_ ACRN_GUARDED_BY(mutex_) = 0;                 // seconds, the guest's time less the host's
  std::optional<DateTime> stopped_ ACRN_GUARDED_BY(mutex_);    // while the guest sets the clock
  std::array<uint8_t, 128> ram_ ACRN_GUARDED_BY(mutex_) = {};  // bytes that are no register, and the alarm
  RtcInterrupts interrupts_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
