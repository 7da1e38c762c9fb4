// COVERS(input): every port of the board, every width
#include "hw/platform/rtc.h"

#include <ctime>
#include <initializer_list>

#include "tests/support/hand_loop.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using test::HandLoop;

constexpr std::time_t kAfternoon = 1709216523;     // Thursday 2024-02-29 14:22:03 UTC
constexpr std::time_t kLastOfCentury = 946684799;  // Friday 1999-12-31 23:59:59 UTC

constexpr int64_t kNanoseconds = 1'000'000'000;

struct Rig final : IrqPin {
  std::time_t now = kAfternoon;  // when the loop's time began
  bool level = false;
  unsigned edges = 0;            // rising ones
  int64_t look = 0, looked = 0;  // nanoseconds that pass at each look at the clock, and that have
  HandLoop loop;
  std::unique_ptr<Rtc> owner = Rtc::create(loop, *this, [this] {
                                 return now * kNanoseconds + static_cast<int64_t>(loop.now.load()) + (looked += look);
                               }).value();
  Rtc& rtc = *owner;

  void set_level(bool asserted) override {
    EXPECT(asserted != level);
    level = asserted;
    if (level) edges++;
  }
  void pass(double seconds) {
    loop.advance_to(loop.now + static_cast<uint64_t>(seconds * static_cast<double>(kNanoseconds)));
  }
  uint8_t get(uint8_t index) {
    rtc.write(0, 1, index);
    return static_cast<uint8_t>(rtc.read(1, 1));
  }
  void set(uint8_t index, uint8_t value) {
    rtc.write(0, 1, index);
    rtc.write(1, 1, value);
  }
  // Seconds, minutes, hours, weekday, day, month, year, century.
  void expect_time(std::initializer_list<int> expected) {
    const uint8_t indexes[] = {0, 2, 4, 6, 7, 8, 9, 0x32};
    size_t i = 0;
    for (const int value : expected) EXPECT_EQ(int{get(indexes[i++])}, value);
  }
};

}  // namespace

TEST(it_shows_the_hosts_time_in_bcd_and_24_hours) {
  Rig rig;
  EXPECT_EQ(rig.get(0x0b), 0x02);
  rig.expect_time({0x03, 0x22, 0x14, 0x05, 0x29, 0x02, 0x24, 0x20});
}

TEST(time_goes_on_over_the_end_of_a_century) {
  Rig rig;
  rig.now = kLastOfCentury;
  rig.expect_time({0x59, 0x59, 0x23, 0x06, 0x31, 0x12, 0x99, 0x19});
  rig.now++;
  rig.expect_time({0x00, 0x00, 0x00, 0x07, 0x01, 0x01, 0x00, 0x20});
}

TEST(a_clock_of_the_host_before_1970_is_no_trouble) {
  Rig rig;
  rig.now = -1;
  rig.expect_time({0x59, 0x59, 0x23, 0x04, 0x31, 0x12, 0x69, 0x19});
}

TEST(register_b_chooses_binary) {
  Rig rig;
  rig.set(0x0b, 0x06);
  rig.expect_time({3, 22, 14, 5, 29, 2, 24, 20});
}

TEST(register_b_chooses_12_hours_with_pm_in_the_top_bit) {
  Rig rig;
  const int midnight = 14 * 3600;
  const struct {
    int shift;
    uint8_t bcd, binary;
  } cases[] = {{-midnight, 0x12, 12},
               {-3600, 0x81, 0x81},
               {-2 * 3600, 0x92, 0x8c},
               {-3 * 3600, 0x11, 11},
               {9 * 3600, 0x91, 0x8b}};
  for (const auto& c : cases) {
    rig.now = kAfternoon + c.shift;
    rig.set(0x0b, 0x00);
    EXPECT_EQ(rig.get(4), c.bcd);
    rig.set(0x0b, 0x04);
    EXPECT_EQ(rig.get(4), c.binary);
  }
}

TEST(the_hour_can_be_set_in_every_format) {
  for (const uint8_t format : {uint8_t{0x00}, uint8_t{0x02}, uint8_t{0x04}, uint8_t{0x06}}) {
    for (int hour = 0; hour < 24; hour++) {
      Rig rig;
      rig.now = kAfternoon + (hour - 14) * 3600;
      rig.set(0x0b, format);
      const uint8_t shown = rig.get(4);
      rig.now = kAfternoon;
      rig.set(4, shown);
      rig.set(0x0b, 0x06);
      rig.expect_time({3, 22, hour, 5, 29, 2, 24, 20});
    }
  }
}

TEST(the_clock_stands_while_it_is_set_and_goes_on_from_what_was_set) {
  Rig rig;
  rig.set(0x0b, 0x82);
  const uint8_t indexes[] = {0, 2, 4, 7, 8, 9, 0x32};
  const uint8_t values[] = {0x56, 0x34, 0x12, 0x31, 0x12, 0x99, 0x19};
  for (size_t i = 0; i < 7; i++) {
    rig.set(indexes[i], values[i]);
    rig.now += 100;
  }
  rig.expect_time({0x56, 0x34, 0x12, 0x06, 0x31, 0x12, 0x99, 0x19});
  rig.set(0x0b, 0x02);
  rig.expect_time({0x56, 0x34, 0x12, 0x06, 0x31, 0x12, 0x99, 0x19});
  rig.now += 5;
  rig.expect_time({0x01, 0x35, 0x12});
}

TEST(a_register_that_is_set_while_the_clock_runs_takes_effect_at_once) {
  Rig rig;
  rig.set(9, 0x30);
  EXPECT_EQ(rig.get(9), 0x30);
  EXPECT_EQ(rig.get(0x32), 0x20);
  rig.now += 86400;
  EXPECT_EQ(rig.get(9), 0x30);
}

TEST(reset_keeps_time_and_ram_but_not_the_format) {
  Rig rig;
  rig.set(9, 0x30);
  rig.set(0x0f, 0x0a);
  rig.set(0x0b, 0x86);
  rig.rtc.reset();
  EXPECT_EQ(rig.get(0x0b), 0x02);
  EXPECT_EQ(rig.get(9), 0x30);
  EXPECT_EQ(rig.get(0x0f), 0x0a);
}

TEST(no_update_is_ever_in_progress_and_the_battery_is_good) {
  Rig rig;
  EXPECT_EQ(rig.get(0x0a), 0x26);
  rig.set(0x0a, 0xff);
  EXPECT_EQ(rig.get(0x0a), 0x7f);
  rig.set(0x0c, 0xff);
  EXPECT_EQ(rig.get(0x0c) & 0x8f, 0x00);
  rig.set(0x0d, 0x00);
  EXPECT_EQ(rig.get(0x0d), 0x80);
}

TEST(the_rest_is_128_bytes_of_ram_and_the_top_bit_of_the_index_is_ignored) {
  Rig rig;
  for (unsigned i = 0x0e; i < 128; i++) {
    if (i != 0x32) rig.set(static_cast<uint8_t>(i), static_cast<uint8_t>(i ^ 0x5a));
  }
  for (unsigned i = 0x0e; i < 128; i++) {
    if (i != 0x32) EXPECT_EQ(rig.get(static_cast<uint8_t>(i | 0x80)), i ^ 0x5a);
  }
  EXPECT_EQ(rig.rtc.read(0, 1), 0xffu);
}

TEST(one_wide_write_selects_and_sets) {
  Rig rig;
  rig.rtc.write(0, 2, 0xaa40);
  EXPECT_EQ(rig.get(0x40), 0xaa);
  EXPECT_EQ(rig.rtc.read(0, 4), 0xffffaaffu);
}

TEST(whatever_is_written_with_whatever_width_it_answers) {
  Rig rig;
  uint32_t value = 1;
  for (unsigned round = 0; round < 200000; round++) {
    value = value * 1664525 + 1013904223;
    const auto offset = static_cast<uint16_t>(round % 16 == 15 ? 0xfffe + round % 2 : (value >> 8) % 3);
    rig.rtc.write(offset, (value >> 12) % 9, value >> 16 & (round % 2 != 0 ? 0xff0f : 0xffff));
    rig.rtc.read(offset, (value >> 4) % 9);
  }
  // Months out of range again and again move the year on, but not out of what it can show.
  rig.set(0x0b, 0x06);
  for (unsigned i = 0; i < 5000; i++) rig.set(8, i % 3 == 0 ? 0 : 255);
  EXPECT(rig.get(0x32) < 100);
  EXPECT(rig.get(8) >= 1 && rig.get(8) <= 12);
}

TEST(the_end_of_an_update_interrupts_once_a_second_if_it_is_asked_for) {
  Rig rig;
  rig.set(0x0b, 0x12);
  EXPECT(!rig.level);
  rig.pass(0.9);
  EXPECT(!rig.level);
  rig.pass(0.2);
  EXPECT(rig.level);
  EXPECT_EQ(rig.get(0x0c) & 0xb0, 0x90);
  EXPECT(!rig.level);
  EXPECT_EQ(rig.get(0x0c), 0x00);
  rig.pass(1);
  EXPECT_EQ(rig.edges, 2u);
}

TEST(a_period_that_ends_while_register_c_is_read_is_an_interrupt_of_its_own) {
  Rig rig;
  rig.set(0x0a, 0x23);  // 8192 Hz
  rig.set(0x0b, 0x42);
  rig.pass(0.001);
  EXPECT(rig.level);
  rig.look = kNanoseconds / 8000;
  for (unsigned i = 0; i < 100; i++) {
    const unsigned before = rig.edges;
    EXPECT_EQ(rig.get(0x0c) & 0xc0, 0xc0);
    EXPECT(rig.level);
    EXPECT_EQ(rig.edges, before + 1);
  }
}

TEST(a_guest_that_does_not_read_register_c_gets_one_interrupt) {
  Rig rig;
  rig.set(0x0a, 0x23);  // 8192 Hz
  rig.set(0x0b, 0x72);
  rig.pass(5);
  EXPECT_EQ(rig.edges, 1u);
  EXPECT_EQ(rig.loop.rings_at.load(), HandLoop::kNever);
}

TEST(nobody_asks_and_there_is_no_timer_but_register_c_tells) {
  Rig rig;
  rig.get(0x0c);
  EXPECT_EQ(rig.loop.rings_at.load(), HandLoop::kNever);
  rig.pass(1.5);
  EXPECT_EQ(rig.edges, 0u);
  EXPECT_EQ(rig.get(0x0c) & 0xd0, 0x50);  // an update and a period have been, with no request
}

TEST(the_alarm_goes_off_when_all_its_parts_match) {
  Rig rig;  // 14:22:03
  rig.set(0x01, 0x05);
  rig.set(0x03, 0x22);
  rig.set(0x05, 0x14);
  rig.set(0x0b, 0x22);
  rig.pass(1.5);
  EXPECT(!rig.level);
  rig.pass(0.6);
  EXPECT(rig.level);
  EXPECT_EQ(rig.get(0x0c) & 0xa0, 0xa0);
  rig.pass(86399);
  EXPECT(!rig.level);
  rig.pass(1);
  EXPECT(rig.level);
}

TEST(parts_of_an_alarm_that_do_not_matter_match_any) {
  Rig rig;
  rig.set(0x01, 0x00);
  rig.set(0x03, 0xff);
  rig.set(0x05, 0xc0);
  rig.set(0x0b, 0x22);
  rig.pass(57);
  EXPECT(rig.level);
  rig.get(0x0c);
  rig.pass(60);
  EXPECT_EQ(rig.edges, 2u);
}

TEST(an_alarm_in_the_afternoon_of_12_hours) {
  Rig rig;
  rig.set(0x0b, 0x00);
  rig.set(0x01, 0x03);
  rig.set(0x03, 0x22);
  rig.set(0x05, 0x83);  // 3 pm
  rig.set(0x0b, 0x20);
  rig.pass(3599);
  EXPECT(!rig.level);
  rig.pass(1);
  EXPECT(rig.level);
}

TEST(an_alarm_out_of_range_never_goes_off) {
  Rig rig;
  rig.set(0x0b, 0x26);
  rig.set(0x01, 60);
  rig.pass(200000);
  EXPECT_EQ(rig.edges, 0u);
}

TEST(the_periodic_interrupt_has_the_rate_of_register_a) {
  const struct {
    uint8_t rate;
    unsigned hertz;
  } rows[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {15, 2}};
  for (const auto& row : rows) {
    Rig rig;
    rig.set(0x0a, static_cast<uint8_t>(0x20 | row.rate));
    rig.get(0x0c);
    rig.set(0x0b, 0x42);
    for (unsigned i = 0; i < 2 * row.hertz; i++) {
      rig.pass(1.0 / row.hertz);
      rig.get(0x0c);
    }
    EXPECT(rig.edges >= 2 * row.hertz - 1 && rig.edges <= 2 * row.hertz + 1);
  }
}

TEST(no_update_ends_while_the_clock_is_set_and_to_set_it_sets_off_no_alarm) {
  Rig rig;
  rig.set(0x01, 0x00);
  rig.set(0x03, 0x30);
  rig.set(0x05, 0x15);
  rig.get(0x0c);
  rig.set(0x0b, 0xb2);
  rig.pass(3);
  EXPECT_EQ(rig.edges, 0u);
  rig.set(0x04, 0x16);
  rig.set(0x0b, 0x22);
  EXPECT_EQ(rig.get(0x0c) & 0x30, 0);
  EXPECT_EQ(rig.edges, 0u);
}

TEST(reset_takes_the_interrupt_back) {
  Rig rig;
  rig.set(0x0b, 0x12);
  rig.pass(1);
  EXPECT(rig.level);
  rig.rtc.reset();
  EXPECT(!rig.level);
  rig.pass(5);
  EXPECT_EQ(rig.edges, 1u);
}

}  // namespace acrn
