#include <random>
#include <thread>
#include <vector>

#include "hw/platform/pit_8254.h"
#include "tests/support/hand_loop.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using test::HandLoop;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMicrosecond = 1'000;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  unsigned any() { return static_cast<unsigned>(engine_()); }
  unsigned below(unsigned bound) { return any() % bound; }

 private:
  std::mt19937 engine_;
};

// When that many CLK pulses have been.
uint64_t at_tick(uint64_t ticks) { return (ticks * kSecond + Pit8254::kFrequency - 1) / Pit8254::kFrequency; }

struct Rig final : IrqPin {
  Rig() : pit(Pit8254::create(loop, *this, [this] { return loop.now.load(); }).value()), port_b(*pit) {}

  void set_level(bool asserted) override {
    EXPECT(asserted != level);
    level = asserted;
    if (level) pulses.push_back(loop.now);
  }
  uint8_t in(uint16_t port) { return static_cast<uint8_t>(pit->read(port - 0x40, 1)); }
  void out(uint16_t port, uint8_t value) { pit->write(port - 0x40, 1, value); }
  // Counter, mode, BCD; a count of two bytes.
  void program(unsigned counter, unsigned mode, bool bcd = false) {
    out(0x43, static_cast<uint8_t>(counter << 6 | 0x30 | mode << 1 | (bcd ? 1 : 0)));
  }
  void load(unsigned counter, unsigned count) {
    out(static_cast<uint16_t>(0x40 + counter), static_cast<uint8_t>(count));
    out(static_cast<uint16_t>(0x40 + counter), static_cast<uint8_t>(count >> 8));
  }
  unsigned read_count(unsigned counter) {
    const unsigned low = in(static_cast<uint16_t>(0x40 + counter));
    return low | in(static_cast<uint16_t>(0x40 + counter)) * 256u;
  }
  unsigned latched(unsigned counter) {
    out(0x43, static_cast<uint8_t>(counter << 6));
    return read_count(counter);
  }
  uint8_t status(unsigned counter) {
    out(0x43, static_cast<uint8_t>(0xe0 | 2u << counter));
    return in(static_cast<uint16_t>(0x40 + counter));
  }
  void gate(bool up) { port_b.write(0, 1, up ? 0x01 : 0x00); }
  bool output2() { return (port_b.read(0, 1) & 0x20) != 0; }

  void to_tick(uint64_t then) { loop.advance_to(at_tick(tick = then)); }
  void ticks(uint64_t more) { to_tick(tick + more); }

  HandLoop loop;
  bool level = false;
  std::vector<uint64_t> pulses;  // when
  std::unique_ptr<Pit8254> pit;
  SystemPortB port_b;
  uint64_t tick = 0;
};

unsigned to_bcd(unsigned value) {
  return value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
}

// A counter that is clocked pulse by pulse, with the flip-flops of the data sheet.
struct ClockedCounter {
  explicit ClockedCounter(bool gate_up) : gate(gate_up) {}

  void program(unsigned new_mode, bool new_bcd) {
    *this = ClockedCounter(gate);
    mode = new_mode;
    bcd = new_bcd;
    out = mode != 0;
  }
  void first_byte() {
    half = true;
    if (mode == 0) out = false;
  }
  void second_byte(unsigned count) {
    half = false;
    reload = count != 0 ? count : bcd ? 10000 : 65536;
    if ((mode == 2 || mode == 3) && reload < 2) reload = 2;
    armed = null = true;
    if (mode == 0 || mode == 4 || ((mode == 2 || mode == 3) && !loaded)) load_next = true;
  }
  void set_gate(bool level) {
    if (level && !gate && armed && mode != 0 && mode != 4) triggered = true;
    if (!level && (mode == 2 || mode == 3)) out = true;
    gate = level;
  }
  void clock() {
    const bool load = load_next || triggered;
    load_next = triggered = false;
    if (load) {
      take();
      out = mode != 0 && mode != 1;
    } else if (loaded && (gate || mode == 1 || mode == 5) && !(mode == 0 && half)) {
      count_down();
    }
  }
  void take() {
    element = mode == 3 ? reload & ~1u : reload;
    odd = reload % 2 != 0;
    loaded = true;
    null = expired = false;
  }
  void count_down() {
    switch (mode) {
      case 2:
        if (element == 1) {
          take();
          out = true;
        } else if (--element == 1) {
          out = false;
        }
        return;
      case 3:
        if (element == (out && odd ? 0u : 2u)) {
          out = !out;
          take();
        } else {
          element -= 2;
        }
        return;
      default:
        element = element != 0 ? element - 1 : bcd ? 9999 : 65535;
        if (mode <= 1)
          out = out || element == 0;
        else
          out = expired || element != 0;
        expired = expired || element == 0;  // it counts on, without another strobe
    }
  }
  unsigned shown() const { return bcd ? to_bcd(element % 10000) : element % 65536; }

  bool gate;
  unsigned mode = 3;
  bool bcd = false, out = true, half = false, armed = false, null = true, loaded = false;
  bool load_next = false, triggered = false, odd = false, expired = false;
  unsigned reload = 0, element = 0;
};

// Random programs of one counter, on the device and on the clocked one.
void match_clocked(unsigned index, unsigned seed) {
  Random random(seed);
  const auto below = [&](unsigned bound) { return random.below(bound); };
  Rig rig;
  ClockedCounter model(index != 2);
  uint64_t not_before = 0;
  size_t pulses = 0;
  bool risen = false;
  const auto watch = [&](bool before) {
    if (index == 0 && model.out && !before) risen = true;
    if (!risen || rig.tick < not_before) return;
    risen = false;
    pulses++;
    not_before = rig.tick + Pit8254::kShortestInterval;
  };
  unsigned count = 0;
  for (unsigned step = 0; step < 4000; step++) {
    bool before = model.out;
    switch (below(8)) {
      case 0: {
        if (below(4) != 0) break;
        const unsigned mode = below(6);
        const bool bcd = below(4) == 0;
        rig.program(index, mode >= 2 && mode <= 3 && below(2) != 0 ? mode + 4 : mode, bcd);
        model.program(mode, bcd);
        break;
      }
      case 1:
      case 2:
        if (!model.half) {
          const unsigned kind = below(16);
          count = kind == 0 ? 0 : kind == 1 ? below(10000) : kind == 2 ? 200 + below(200) : 1 + below(12);
        }
        for (unsigned bytes = 1 + below(2); bytes != 0; bytes--) {
          const unsigned written = model.bcd ? to_bcd(count) : count;
          rig.out(static_cast<uint16_t>(0x40 + index), static_cast<uint8_t>(model.half ? written >> 8 : written));
          if (model.half)
            model.second_byte(count);
          else
            model.first_byte();
        }
        break;
      case 3:
        if (index == 2) {
          const bool up = below(3) != 0;
          rig.gate(up);
          model.set_gate(up);
        }
        break;
      default:
        for (unsigned left = below(64) == 0 ? below(30000) : below(8) == 0 ? below(300) : below(5); left != 0; left--) {
          before = model.out;
          model.clock();
          rig.ticks(1);
          watch(before);
        }
        before = model.out;
    }
    watch(before);
    const uint8_t status = rig.status(index);
    EXPECT_EQ((status & 0x80) != 0, model.out);
    EXPECT_EQ((status & 0x40) != 0, model.null);
    EXPECT_EQ(rig.latched(index), model.shown());
    if (index == 2) EXPECT_EQ(rig.output2(), model.out);
    EXPECT_EQ(rig.pulses.size(), pulses);
  }
}

}  // namespace

TEST(random_programs_of_counter_0_match_a_clocked_model) {
  for (unsigned seed = 1; seed <= 40; seed++) match_clocked(0, seed);
}

TEST(random_programs_of_counter_2_with_its_gate_match_a_clocked_model) {
  for (unsigned seed = 1; seed <= 40; seed++) match_clocked(2, seed);
}

TEST(it_is_as_exact_after_a_long_leap_as_after_many_steps) {
  for (const unsigned mode : {0u, 2u, 3u, 4u}) {
    for (const unsigned count : {3u, 10u, 0u}) {
      Rig rig;
      ClockedCounter model(true);
      rig.program(1, mode);
      rig.load(1, count);
      model.program(mode, false);
      model.first_byte();
      model.second_byte(count);
      for (unsigned i = 0; i < 200003; i++) model.clock();
      rig.ticks(200003);
      EXPECT_EQ(rig.latched(1), model.shown());
      EXPECT_EQ((rig.status(1) & 0x80) != 0, model.out);
    }
  }
}

TEST(the_rate_generator_interrupts_once_a_period) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 11932);  // 100 Hz
  rig.loop.advance_to(kSecond);
  EXPECT_EQ(rig.pulses.size(), 99u);
  for (size_t i = 0; i < rig.pulses.size(); i++) EXPECT_EQ(rig.pulses[i], at_tick(1 + 11932 * (i + 1)));
  EXPECT(!rig.level);
}

TEST(the_square_wave_interrupts_once_a_period_and_a_count_of_0_is_65536) {
  Rig rig;
  rig.program(0, 3);
  rig.load(0, 0);
  rig.loop.advance_to(10 * kSecond);
  EXPECT_EQ(rig.pulses.size(), 182u);
  EXPECT_EQ(rig.pulses.back(), at_tick(1 + 65536 * 182));
}

TEST(terminal_count_and_strobe_interrupt_once_for_each_count) {
  for (const unsigned mode : {0u, 4u}) {
    Rig rig;
    rig.program(0, mode);
    rig.ticks(100000);
    EXPECT(rig.pulses.empty());
    for (unsigned round = 1; round <= 3; round++) {
      rig.load(0, 1000);
      const uint64_t rise = rig.tick + 1 + 1000 + (mode == 4 ? 1 : 0);
      rig.ticks(200000);
      EXPECT_EQ(rig.pulses.size(), size_t{round});
      EXPECT_EQ(rig.pulses.back(), at_tick(rise));
    }
  }
}

TEST(modes_that_wait_for_a_trigger_never_interrupt) {
  for (const unsigned mode : {1u, 5u}) {
    Rig rig;
    rig.program(0, mode);
    rig.load(0, 10);
    rig.ticks(200000);
    EXPECT(rig.pulses.empty());
    EXPECT_EQ(rig.loop.rings_at, HandLoop::kNever);
  }
}

TEST(a_new_mode_that_begins_high_is_an_edge_after_one_that_was_low) {
  Rig rig;
  rig.program(0, 2);
  EXPECT(rig.pulses.empty());  // at power-on it is high
  rig.program(0, 0);
  rig.program(0, 2);
  EXPECT_EQ(rig.pulses.size(), 1u);
}

TEST(a_late_thread_sends_one_interrupt_and_goes_on_from_now) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 2000);
  rig.loop.now = at_tick(1 + 2000 * 50 + 700);
  rig.loop.rings_at = HandLoop::kNever;
  rig.loop.ring();
  EXPECT_EQ(rig.pulses.size(), 1u);
  EXPECT_EQ(rig.loop.rings_at, at_tick(1 + 2000 * 51));
}

TEST(an_edge_that_has_been_is_not_lost_to_a_new_program) {
  Rig rig;
  rig.program(0, 0);
  rig.load(0, 50);
  rig.loop.now = at_tick(60);  // the alarm is late
  rig.program(0, 0);
  EXPECT_EQ(rig.pulses.size(), 1u);
  rig.ticks(1000);
  EXPECT_EQ(rig.pulses.size(), 1u);
}

TEST(an_alarm_that_comes_too_soon_is_set_again) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 2000);
  rig.loop.now = at_tick(500);
  rig.loop.rings_at = HandLoop::kNever;
  rig.loop.ring();
  EXPECT(rig.pulses.empty());
  EXPECT_EQ(rig.loop.rings_at, at_tick(2001));
}

TEST(the_shortest_periods_interrupt_every_100_us) {
  for (const unsigned mode : {2u, 3u}) {
    for (const unsigned count : {1u, 2u, 3u, 50u}) {
      Rig rig;
      rig.program(0, mode);
      rig.load(0, count);
      rig.loop.advance_to(kSecond / 10);
      EXPECT(rig.pulses.size() > 800 && rig.pulses.size() <= 1000);
      for (size_t i = 1; i < rig.pulses.size(); i++) EXPECT(rig.pulses[i] - rig.pulses[i - 1] >= 100 * kMicrosecond);
    }
  }
}

TEST(a_storm_of_programs_interrupts_no_more_often) {
  Rig rig;
  for (unsigned i = 0; i < 20000; i++) {
    rig.program(0, i % 3 == 0 ? 0 : 4);
    rig.load(0, 1 + i % 2);
    rig.loop.advance_to(rig.loop.now + 5 * kMicrosecond);
  }
  EXPECT(rig.pulses.size() > 500 && rig.pulses.size() <= 1000);
}

TEST(what_does_not_change_the_next_edge_leaves_the_alarm_alone) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 2000);
  rig.loop.rings_at = HandLoop::kNever;
  rig.ticks(500);
  rig.latched(0);
  rig.program(2, 0);
  rig.load(2, 100);
  rig.gate(true);
  EXPECT_EQ(rig.loop.rings_at, HandLoop::kNever);
}

TEST(reset_leaves_nothing_that_interrupts) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 2);
  rig.gate(true);
  rig.ticks(3);
  const size_t before = rig.pulses.size();
  rig.pit->reset();
  rig.port_b.reset();
  rig.ticks(100000);
  EXPECT_EQ(rig.pulses.size(), before);
  EXPECT_EQ(rig.port_b.read(0, 1) & 0x2f, 0x20u);
  EXPECT_EQ(rig.status(0), 0xf6);
  EXPECT_EQ(rig.latched(0), 0u);
  rig.program(0, 2);
  rig.load(0, 2000);
  rig.ticks(2001);
  EXPECT_EQ(rig.pulses.size(), before + 1);
}

TEST(a_latched_count_stays_until_it_is_read_and_further_latches_are_ignored) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 0x8000);
  rig.ticks(1 + 0x1234);
  rig.out(0x43, 0x00);
  rig.ticks(100);
  rig.out(0x43, 0x00);
  rig.out(0x43, 0xd2);  // read back the count
  rig.ticks(100);
  EXPECT_EQ(rig.read_count(0), 0x8000u - 0x1234);
  EXPECT_EQ(rig.read_count(0), 0x8000u - 0x1234 - 200);
}

TEST(a_read_back_latches_several_counters_and_shows_the_status_first) {
  Rig rig;
  rig.program(0, 2);
  rig.load(0, 5000);
  rig.program(2, 3, true);
  rig.ticks(11);
  rig.out(0x43, 0xca);  // counters 0 and 2, count and status
  rig.ticks(100);
  rig.gate(true);
  rig.out(0x43, 0xee);  // counter 1's status too; the others' are latched already
  EXPECT_EQ(rig.in(0x40), 0xb4);
  EXPECT_EQ(rig.read_count(0), 4990u);
  EXPECT_EQ(rig.in(0x42), 0xf7);
  EXPECT_EQ(rig.read_count(2), 0u);
  EXPECT_EQ(rig.in(0x41), 0xf6);
  EXPECT_EQ(rig.read_count(0), 4890u);
}

TEST(a_control_word_drops_what_was_latched_and_half_a_count) {
  Rig rig;
  rig.program(1, 2);
  rig.load(1, 300);
  rig.ticks(1);
  rig.out(0x43, 0xc4);
  rig.out(0x41, 0x77);
  rig.program(1, 0);
  rig.load(1, 300);
  rig.ticks(1);
  EXPECT_EQ(rig.read_count(1), 300u);
}

TEST(one_byte_accesses_leave_the_other_byte_0) {
  Rig rig;
  rig.out(0x43, 0x50);  // counter 1, low byte
  rig.out(0x41, 0x80);
  rig.ticks(1);
  EXPECT_EQ(rig.in(0x41), 0x80);
  rig.ticks(0x81);
  EXPECT_EQ(rig.in(0x41), 0xff);  // from 0 on to 0xffff
  rig.out(0x43, 0x60);            // high byte
  rig.out(0x41, 0x80);
  rig.ticks(1);
  EXPECT_EQ(rig.in(0x41), 0x80);
  rig.ticks(1);
  rig.out(0x43, 0x40);
  rig.ticks(0x100);
  EXPECT_EQ(rig.in(0x41), 0x7f);
  EXPECT_EQ(rig.in(0x41), 0x7e);
}

TEST(bcd_counts_in_decimal_from_10000_for_0) {
  Rig rig;
  rig.program(1, 0, true);
  rig.load(1, 0);
  rig.ticks(1);
  EXPECT_EQ(rig.latched(1), 0u);
  rig.ticks(1);
  EXPECT_EQ(rig.latched(1), 0x9999u);
  rig.ticks(8765);
  EXPECT_EQ(rig.latched(1), 0x1234u);
  EXPECT_EQ(rig.status(1), 0x31);
  rig.ticks(1234);
  EXPECT_EQ(rig.status(1), 0xb1);
}

TEST(a_count_is_null_until_it_counts) {
  Rig rig;
  rig.program(1, 2);
  EXPECT_EQ(rig.status(1), 0xf4);
  rig.load(1, 100);
  EXPECT_EQ(rig.status(1), 0xf4);
  rig.ticks(1);
  EXPECT_EQ(rig.status(1), 0xb4);
  rig.load(1, 50);  // from the next period on
  rig.ticks(99);
  EXPECT_EQ(rig.status(1), 0x74);
  EXPECT_EQ(rig.latched(1), 1u);
  rig.ticks(1);
  EXPECT_EQ(rig.status(1), 0xb4);
  EXPECT_EQ(rig.latched(1), 50u);
}

TEST(time_is_measured_by_polling_the_output_of_counter_2) {
  Rig rig;
  const uint16_t latch = 59659;  // 50 ms, as Linux does
  rig.port_b.write(0, 1, (rig.port_b.read(0, 1) & ~0x02u) | 0x01);
  rig.out(0x43, 0xb0);
  rig.load(2, latch);
  const uint64_t begun = rig.loop.now;
  while (!rig.output2()) {
    rig.loop.advance_to(rig.loop.now + kMicrosecond);
    EXPECT(rig.loop.now < kSecond);
  }
  const uint64_t took = rig.loop.now - begun;
  EXPECT(took >= at_tick(latch) && took < at_tick(latch + 3));
  EXPECT(rig.pulses.empty());
}

TEST(the_gate_of_counter_2_holds_a_count_and_triggers_a_one_shot) {
  Rig rig;
  rig.program(2, 0);
  rig.load(2, 1000);
  rig.ticks(5000);
  EXPECT_EQ(rig.latched(2), 1000u);
  rig.gate(true);
  rig.ticks(400);
  rig.gate(false);
  rig.ticks(5000);
  EXPECT_EQ(rig.latched(2), 600u);
  EXPECT(!rig.output2());
  rig.gate(true);
  rig.ticks(600);
  EXPECT(rig.output2());

  rig.program(2, 1);
  rig.load(2, 1000);
  rig.ticks(10);
  EXPECT(rig.output2());
  rig.gate(false);
  rig.gate(true);
  rig.ticks(1000);
  EXPECT(!rig.output2());
  rig.ticks(1);
  EXPECT(rig.output2());
}

TEST(port_b_keeps_gate_and_speaker_and_toggles_with_refresh) {
  Rig rig;
  rig.port_b.write(0, 1, 0xff);
  EXPECT_EQ(rig.port_b.read(0, 1) & 0x0f, 0x03u);
  rig.port_b.write(0, 1, 0x02);
  EXPECT_EQ(rig.port_b.read(0, 1) & 0x0f, 0x02u);
  unsigned toggles = 0;
  for (uint32_t last = rig.port_b.read(0, 1), i = 0; i < 1800; i++) {
    rig.ticks(1);
    const uint32_t next = rig.port_b.read(0, 1);
    if (((last ^ next) & 0x10) != 0) toggles++;
    last = next;
  }
  EXPECT_EQ(toggles, 100u);
}

TEST(the_control_port_reads_as_ones) {
  Rig rig;
  EXPECT_EQ(rig.in(0x43), 0xff);
  EXPECT_EQ(rig.pit->read(3, 4), 0xffffffffu);
}

TEST(whatever_is_written_with_whatever_width_it_answers) {
  Rig rig;
  Random random(1);
  for (unsigned round = 0; round < 100000; round++) {
    PortDevice& device = round % 8 == 0 ? static_cast<PortDevice&>(rig.port_b) : *rig.pit;
    const auto offset = static_cast<uint16_t>(round % 64 == 63 ? 0xfffe + random.below(2) : random.below(5));
    device.write(offset, random.below(9), random.any());
    device.read(offset, random.below(9));
    const unsigned most = random.below(16) == 0 ? 100000000 : 10000;  // ns
    if (random.below(4) == 0) rig.loop.advance_to(rig.loop.now + random.below(most));
    if (random.below(4096) == 0) rig.pit->reset();
  }
}

TEST(cpus_and_the_loop_may_use_it_at_once) {
  struct Pin final : IrqPin {
    void set_level(bool asserted) override {  // one caller at a time
      EXPECT(asserted != level);
      level = asserted;
      if (asserted) pulses++;
    }
    bool level = false;
    unsigned pulses = 0;
  } pin;
  HandLoop loop;
  auto pit = Pit8254::create(loop, pin, [&] { return loop.now += kMicrosecond; }).value();
  const auto work = [&](unsigned seed) {
    Random random(seed);
    for (unsigned i = 0; i < 20000; i++) {
      pit->write(static_cast<uint16_t>(random.below(4)), 1, random.any());
      pit->read(static_cast<uint16_t>(random.below(3)), 1);
      pit->write_port_b(static_cast<uint8_t>(random.any()));
      pit->read_port_b();
      if (random.below(64) == 0) pit->reset();
    }
  };
  std::thread one(work, 1), other(work, 2);
  for (unsigned i = 0; i < 20000; i++) loop.ring();
  one.join();
  other.join();
  EXPECT(pin.pulses != 0 && !pin.level);
}

TEST(without_an_alarm_there_is_no_timer) {
  HandLoop loop;
  loop.broken = true;
  struct Pin final : IrqPin {
    void set_level(bool) override {}
  } pin;
  EXPECT(!Pit8254::create(loop, pin, [] { return uint64_t{0}; }));
}

}  // namespace acrn
