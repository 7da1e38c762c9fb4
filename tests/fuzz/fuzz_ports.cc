// Any sequence of accesses to the board's ports, of any width and at any offset, with a console that is slow.
#include <array>
#include <memory>

#include "acrn/platform/board_control.h"
#include "acrn/platform/serial_line.h"
#include "hw/platform/board_ports.h"
#include "hw/platform/rtc.h"
#include "hw/platform/uart_16550.h"

namespace {

struct Board final : acrn::BoardControl, acrn::SerialLine, acrn::IrqPin {
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
  const std::array<std::unique_ptr<acrn::PortDevice>, 6> devices{
      std::make_unique<acrn::Uart16550>(board, board), std::make_unique<acrn::Rtc>([] { return 1'700'000'000; }),
      std::make_unique<acrn::KeyboardReset>(board),    std::make_unique<acrn::ResetControl>(board),
      std::make_unique<acrn::Pm1a>(board),             std::make_unique<acrn::DebugExit>(board)};
  for (; size >= 3; data += 3, size -= 3) {
    // Three bytes: what, where and how wide, value.
    const unsigned what = data[0] % 10;
    const auto offset = static_cast<uint16_t>(data[1] & 0x0f);
    const unsigned width = 1u << (data[1] >> 4) % 3;
    const uint32_t value = data[2] * 0x01010101u;
    if (what < devices.size()) {
      if ((data[0] & 0x80) != 0) devices[what]->write(offset, width, value);
      else devices[what]->read(offset, width);
    } else if (what == 6) {
      devices[data[1] % devices.size()]->reset();
    } else if (what == 7) {
      board.room += data[2];
      board.listener->room_arrived();
    } else {
      board.input = data[2];
      board.listener->input_arrived();
    }
  }
  return 0;
}
