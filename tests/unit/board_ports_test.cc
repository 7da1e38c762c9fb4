// COVERS(input): every port of the board, every width
#include "hw/platform/board_ports.h"

#include <initializer_list>
#include <string>

#include "tests/support/test.h"

namespace acrn {
namespace {

class FakeBoard final : public PowerControl {
 public:
  void request_reset() override { asked += "reset "; }
  void request_power_off() override { asked += "off "; }
  void request_debug_exit(uint8_t value) override { asked += "exit" + std::to_string(value) + " "; }
  std::string asked;
};

class FakePin final : public IrqPin {
 public:
  void set_level(bool asserted) override { level = asserted; }
  bool level = false;
};

}  // namespace

TEST(the_keyboard_controllers_pulse_resets) {
  FakeBoard board;
  KeyboardReset keyboard(board);
  keyboard.write(0, 1, 0xd1);
  EXPECT_EQ(board.asked, "");
  keyboard.write(0, 1, 0xfe);
  EXPECT_EQ(board.asked, "reset ");
}

TEST(the_keyboard_controller_is_idle_and_does_not_answer_for_its_neighbours) {
  FakeBoard board;
  KeyboardData data;
  KeyboardReset keyboard(board);
  for (PortDevice* device : std::initializer_list<PortDevice*>{&data, &keyboard}) {
    EXPECT_EQ(device->read(0, 1), 0u);
    EXPECT_EQ(device->read(0, 4), 0xffffff00u);
  }
}

TEST(bit_2_of_the_reset_register_resets_and_what_was_written_reads_back) {
  FakeBoard board;
  ResetControl control(board);
  EXPECT_EQ(control.read(0, 1), 0u);
  control.write(0, 1, 0x02);
  EXPECT_EQ(control.read(0, 1), 0x02u);
  EXPECT_EQ(board.asked, "");
  control.write(0, 1, ResetControl::kResetValue);
  EXPECT_EQ(board.asked, "reset ");
  control.reset();
  EXPECT_EQ(control.read(0, 1), 0u);
}

TEST(sleep_type_5_with_sleep_enable_turns_off_by_word_and_by_byte) {
  FakeBoard board;
  FakePin sci;
  Pm1a pm1a(board, sci);
  constexpr uint32_t s5 = Pm1a::kSleepTypeS5 << Pm1a::kSleepTypeShift;
  pm1a.write(4, 2, s5);
  pm1a.write(4, 2, Pm1a::kSleepEnable | 1 << Pm1a::kSleepTypeShift);  // another state: there is none
  EXPECT_EQ(board.asked, "");
  pm1a.write(4, 2, s5 | Pm1a::kSleepEnable);
  EXPECT_EQ(board.asked, "off ");
  pm1a.write(5, 1, (s5 | Pm1a::kSleepEnable) >> 8);
  EXPECT_EQ(board.asked, "off off ");
}

TEST(acpi_mode_is_always_on_and_sleep_enable_reads_0) {
  FakeBoard board;
  FakePin sci;
  Pm1a pm1a(board, sci);
  EXPECT_EQ(pm1a.read(4, 2), 1u);
  pm1a.write(4, 2, 0x3400);
  EXPECT_EQ(pm1a.read(4, 2), 0x1401u);
}

TEST(events_can_be_enabled_and_none_happens) {
  FakeBoard board;
  FakePin sci;
  Pm1a pm1a(board, sci);
  pm1a.write(0, 4, 0x0120ffff);
  EXPECT_EQ(pm1a.read(0, 4), 0x01200000u);
  pm1a.write(3, 1, 0x03);
  EXPECT_EQ(pm1a.read(2, 2), 0x0320u);
  pm1a.reset();
  EXPECT_EQ(pm1a.read(0, 4), 0u);
}

TEST(the_power_button_interrupts_a_guest_that_listens_until_it_has_seen_to_it) {
  FakeBoard board;
  FakePin sci;
  Pm1a pm1a(board, sci);
  EXPECT(!pm1a.press());  // nobody listens, but it is remembered
  EXPECT(!sci.level);
  EXPECT_EQ(pm1a.read(0, 2), uint32_t{Pm1a::kPowerButton});
  pm1a.write(2, 2, Pm1a::kPowerButton);
  EXPECT(sci.level);
  pm1a.write(0, 2, 0x0001);  // another event's
  EXPECT(sci.level);
  pm1a.write(0, 2, Pm1a::kPowerButton);
  EXPECT(!sci.level);
  EXPECT_EQ(pm1a.read(0, 2), 0u);
  EXPECT(pm1a.press());
  EXPECT(sci.level);
  pm1a.reset();
  EXPECT(!sci.level);
  EXPECT_EQ(pm1a.read(0, 4), 0u);
  EXPECT_EQ(board.asked, "");
}

TEST(the_sleep_control_register_turns_off_and_knows_no_other_state) {
  FakeBoard board;
  SleepControl sleep(board);
  sleep.write(0, 1, 5 << SleepControl::kSleepTypeShift);
  sleep.write(0, 1, 1 << SleepControl::kSleepTypeShift | SleepControl::kSleepEnable);
  EXPECT_EQ(board.asked, "");
  EXPECT_EQ(sleep.read(0, 1), 0u);
  sleep.write(0, 1, 0x34);
  EXPECT_EQ(board.asked, "off ");
}

TEST(the_power_management_timer_counts_3579545_in_a_second_and_wraps_at_32_bits) {
  uint64_t now = 0;
  PmTimer timer([&] { return now; });
  EXPECT_EQ(timer.read(0, 4), 0u);
  now = 1'000'000'000;
  EXPECT_EQ(timer.read(0, 4), 3'579'545u);
  EXPECT_EQ(timer.read(1, 1), 3'579'545u >> 8 & 0xff);
  now = 1'200'000'000'000;  // 20 minutes
  EXPECT_EQ(timer.read(0, 4), static_cast<uint32_t>(uint64_t{1200} * 3'579'545));
  now += 280;
  EXPECT_EQ(timer.read(0, 4), static_cast<uint32_t>(uint64_t{1200} * 3'579'545 + 1));
  timer.write(0, 4, 0);
  EXPECT_EQ(timer.read(0, 4), static_cast<uint32_t>(uint64_t{1200} * 3'579'545 + 1));
}

TEST(debug_exit_ends_once_with_the_low_byte) {
  FakeBoard board;
  DebugExit port(board);
  port.write(0, 4, 0x12345610);
  EXPECT_EQ(board.asked, "exit16 ");
  EXPECT_EQ(port.read(0, 1), 0xffu);
}

TEST(every_board_port_takes_every_width_and_offset) {
  FakeBoard board;
  KeyboardData data;
  KeyboardReset keyboard(board);
  ResetControl control(board);
  FakePin sci;
  Pm1a pm1a(board, sci);
  DebugExit debug_exit(board);
  SleepControl sleep(board);
  PmTimer timer([] { return uint64_t{0}; });
  for (PortDevice* device :
       std::initializer_list<PortDevice*>{&data, &keyboard, &control, &pm1a, &debug_exit, &sleep, &timer}) {
    for (const uint32_t offset : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 0xfffdu, 0xffffu}) {
      for (unsigned size = 0; size <= 8; size++) {
        device->read(static_cast<uint16_t>(offset), size);
        for (const uint32_t value : {0u, 0xffffffffu, 0xfefefefeu})
          device->write(static_cast<uint16_t>(offset), size, value);
      }
    }
    EXPECT_EQ(device->read(0xffff, 4), 0xffffffffu);
    device->reset();
  }
}

}  // namespace acrn
