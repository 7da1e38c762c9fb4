// PitCounter: one of the three counters of an 8254 (Intel's data sheet), as software sees it. Time is the number of CLK
// pulses so far; what lies between two calls is computed, not stepped through. Pit8254 owns it and guards it.
#pragma once

#include <cstdint>
#include <optional>

namespace acrn {

class PitCounter {
 public:
  explicit PitCounter(bool gate) : gate_(gate) {}

  // All other calls are of this moment. Time does not go back.
  void advance(uint64_t now);

  void program(uint8_t control);  // a control word; the bits that select the counter do not matter
  void write(uint8_t byte);       // to the counter's port
  uint8_t read();                 // from the counter's port
  void latch_count();
  void latch_status();
  void set_gate(bool level);
  bool gate() const { return gate_; }
  bool output() const;
  // When the output rises next, after now. For a counter whose gate never moves.
  std::optional<uint64_t> next_rise() const;

 private:
  void accept(uint32_t value);
  void load();
  bool may_run() const;
  void stop();

  uint64_t elapsed(uint64_t at) const { return running_ ? elapsed_ + (at - since_) : elapsed_; }
  bool held() const { return mode_ == 0 && half_written_; }  // half a count stops this mode
  bool periodic() const { return mode_ == 2 || mode_ == 3; }
  uint32_t high_half(uint32_t count) const { return mode_ == 3 ? (count + 1) / 2 : count; }
  uint64_t first_elapsed(uint64_t at) const;
  std::optional<uint64_t> rise_after(uint32_t count, uint64_t elapsed) const;
  uint16_t count() const;

  // At power-on the chip is in no defined state; here it is in the mode that a PC's firmware chooses, without a count.
  uint8_t control_ = 0x36;
  uint8_t mode_ = 3;
  bool gate_;

  bool half_written_ = false, half_read_ = false;
  uint8_t low_byte_ = 0;  // written, waits for the high one
  std::optional<uint8_t> latched_status_;
  std::optional<uint16_t> latched_count_;

  uint32_t reload_ = 0;              // the count register
  bool armed_ = false;               // it was written since the control word
  bool null_count_ = true;           // and is not in the counting element yet
  std::optional<uint64_t> load_at_;  // when it will be; nothing: a trigger has to come first

  uint64_t now_ = 0;
  bool loaded_ = false;               // since the control word; a counter that was not stands at 0
  bool running_ = false;              // or stands
  uint32_t count_ = 0;                // what was loaded
  uint64_t elapsed_ = 0, since_ = 0;  // pulses counted of it; while it runs: at `since_`, and one with each since
};

}  // namespace acrn
