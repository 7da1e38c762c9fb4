// Any sequence of accesses to the board's ports, of any width and at any offset, with a console that is slow and time
// that leaps.
// COVERS(input): every port of the board, every width
#include <array>

#include "acrn/platform/power_control.h"
#include "acrn/platform/serial_line.h"
#include "hw/platform/board_ports.h"
#include "hw/platform/pit_8254.h"
#include "hw/platform/rtc.h"
#include "hw/platform/uart_16550.h"
#include "tests/support/inline_loop.h"

namespace {

struct Board final : acrn::PowerControl, acrn::SerialLine, acrn::IrqPin {
  void request_reset() override {}
  void request_power_off() override {}
  void request_debug_exit(uint8_t) override {}
  void connect(acrn::SerialListener* to) override { listener = to; }
  bool send(uint8_t) override { return room > 0 && room-- > 0; }
  bool has_room() const override { return room > 0; }
  std::optional<uint8_t> receive() override {
    if (input == 0) return std::nullopt;
    return input--;
  }
  void set_level(bool) override {}

  acrn::SerialListener* listener = nullptr;
  unsigned room = 0;
  uint8_t input = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Board board;
  acrn::test::InlineLoop loop;
  const auto pit = acrn::Pit8254::create(loop, board, [&] { return loop.now(); }).value();
  acrn::Uart16550 uart(board, board);
  const auto rtc = acrn::Rtc::create(loop, board, [&] {
                     return int64_t{1'700'000'000'000'000'000} + static_cast<int64_t>(loop.now() % (uint64_t{1} << 60));
                   }).value();
  acrn::KeyboardData keyboard_data;
  acrn::KeyboardReset keyboard_reset(board);
  acrn::ResetControl reset_control(board);
  acrn::Pm1a pm1a(board, board);
  acrn::DebugExit debug_exit(board);
  acrn::SystemPortB port_b(*pit);
  acrn::SleepControl sleep(board);
  acrn::PmTimer timer([] { return uint64_t{1} << 60; });
  const std::array<acrn::PortDevice*, 11> devices{&uart,   rtc.get(),   &keyboard_reset, &reset_control,
                                                  &pm1a,   &debug_exit, &keyboard_data,  pit.get(),
                                                  &port_b, &sleep,      &timer};
  for (; size >= 3; data += 3, size -= 3) {
    // Three bytes: what, where and how wide, value.
    const unsigned what = data[0] % 15;
    const auto offset = static_cast<uint16_t>(data[1] & 0x0f);
    const unsigned width = 1u << (data[1] >> 4) % 3;
    const uint32_t value = data[2] * 0x01010101u;
    if (what < devices.size()) {
      if ((data[0] & 0x80) != 0)
        devices[what]->write(offset, width, value);
      else
        devices[what]->read(offset, width);
    } else if (what == 11) {
      devices[data[1] % devices.size()]->reset();
    } else if (what == 12) {
      board.room += data[2];
      board.listener->room_arrived();
    } else if (what == 13) {
      loop.advance(uint64_t{data[2]} << data[1] % 40, 8);
    } else {
      board.input = data[2];
      board.listener->input_arrived();
    }
  }
  return 0;
}
