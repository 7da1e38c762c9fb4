// COVERS(input): every port of the board, every width
#include <deque>
#include <string>
#include <thread>

#include "hw/platform/uart_16550.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

enum : uint16_t { kRbr = 0, kThr = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7 };

// Input and room as the test says; the test's own thread plays the line's.
class FakeLine final : public SerialLine {
 public:
  void connect(SerialListener* listener) override { listener_ = listener; }
  bool send(uint8_t byte) override {
    if (room_ == 0) return false;
    room_--;
    sent_ += static_cast<char>(byte);
    return true;
  }
  bool has_room() const override { return room_ != 0; }
  std::optional<uint8_t> receive() override {
    if (input_.empty()) return {};
    const uint8_t byte = input_.front();
    input_.pop_front();
    return byte;
  }

  void type(const std::string& text) {
    input_.insert(input_.end(), text.begin(), text.end());
    listener_->input_arrived();
  }
  void give_room(size_t bytes) {
    room_ = bytes;
    if (bytes != 0) listener_->room_arrived();
  }
  const std::string& sent() const { return sent_; }
  size_t waiting() const { return input_.size(); }
  bool connected() const { return listener_ != nullptr; }

 private:
  SerialListener* listener_ = nullptr;
  std::deque<uint8_t> input_;
  std::string sent_;
  size_t room_ = SIZE_MAX;
};

class FakePin final : public IrqPin {
 public:
  void set_level(bool asserted) override { level = asserted; }
  bool level = false;
};

struct Rig {
  FakeLine line;
  FakePin pin;
  Uart16550 uart{line, pin};

  uint8_t in(uint16_t port) { return static_cast<uint8_t>(uart.read(port, 1)); }
  void out(uint16_t port, uint8_t value) { uart.write(port, 1, value); }
  void print(const std::string& text) {
    for (const char c : text) out(kThr, static_cast<uint8_t>(c));
  }
  // FIFOs on with this trigger's code, interrupts through OUT2.
  void start(uint8_t interrupts, uint8_t trigger = 0) {
    out(kFcr, static_cast<uint8_t>(0x01 | trigger << 6));
    out(kMcr, 0x0b);
    out(kIer, interrupts);
  }
  std::string read_all() {
    std::string text;
    while ((in(kLsr)&0x01) != 0) text += static_cast<char>(in(kRbr));
    return text;
  }
};

}  // namespace

TEST(at_power_on_the_transmitter_is_empty_and_nothing_is_pending) {
  Rig rig;
  EXPECT_EQ(rig.in(kLsr), 0x60);
  EXPECT_EQ(rig.in(kIir), 0x01);
  EXPECT_EQ(rig.in(kIer), 0x00);
  EXPECT_EQ(rig.in(kMcr), 0x00);
  EXPECT_EQ(rig.in(kMsr), 0xb0);
  EXPECT(!rig.pin.level);
}

TEST(what_is_written_goes_out_in_order) {
  Rig rig;
  rig.print("Hello, world\r\n");
  EXPECT_EQ(rig.line.sent(), "Hello, world\r\n");
  EXPECT_EQ(rig.in(kLsr), 0x60);
}

TEST(it_is_found_to_be_a_16550a) {
  Rig rig;
  rig.out(kIer, 0);
  EXPECT_EQ(rig.in(kIer)&0x0f, 0);
  rig.out(kIer, 0xff);
  EXPECT_EQ(rig.in(kIer), 0x0f);  // no bit of a later chip
  rig.out(kIer, 0);
  rig.out(kMcr, 0x1a);  // loop, RTS, OUT2 come back as CTS, DCD
  EXPECT_EQ(rig.in(kMsr)&0xf0, 0x90);
  rig.out(kMcr, 0);
  rig.out(kLcr, 0xbf);
  rig.out(kFcr, 0);
  rig.out(kLcr, 0);
  EXPECT_EQ(rig.in(kIir) >> 6, 0);
  rig.out(kFcr, 0x01);
  EXPECT_EQ(rig.in(kIir) >> 6, 3);
  rig.out(kLcr, 0x80);
  EXPECT(rig.in(kIir) != 0);  // no extended feature register
  rig.out(kFcr, 0x21);
  EXPECT_EQ(rig.in(kIir)&0x20, 0);  // no 64-byte FIFO
  rig.out(kLcr, 0);
  rig.out(kScr, 0x5a);
  EXPECT_EQ(rig.in(kScr), 0x5a);
}

TEST(the_divisor_hides_data_and_interrupt_enable) {
  Rig rig;
  rig.out(kIer, 0x05);
  rig.out(kLcr, 0x83);
  rig.out(0, 0x34);
  rig.out(1, 0x12);
  EXPECT_EQ(rig.uart.read(0, 2), 0x1234u);
  EXPECT_EQ(rig.line.sent(), "");
  rig.out(kLcr, 0x03);
  EXPECT_EQ(rig.in(kIer), 0x05);
  EXPECT_EQ(rig.in(kLcr), 0x03);
}

TEST(input_waits_in_the_line_while_the_fifo_is_full) {
  Rig rig;
  rig.start(0);
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  rig.line.type(text);
  EXPECT_EQ(rig.line.waiting(), text.size() - 16);
  EXPECT_EQ(rig.read_all(), text);
  EXPECT_EQ(rig.in(kLsr)&0x03, 0);
}

TEST(without_fifos_one_byte_is_received_at_a_time) {
  Rig rig;
  rig.out(kMcr, 0x08);
  rig.out(kIer, 0x01);
  rig.line.type("ab");
  EXPECT_EQ(rig.line.waiting(), 1u);
  EXPECT_EQ(rig.in(kIir), 0x04);
  EXPECT_EQ(rig.in(kRbr), 'a');
  EXPECT(rig.pin.level);
  EXPECT_EQ(rig.in(kRbr), 'b');
  EXPECT(!rig.pin.level);
  EXPECT_EQ(rig.in(kIir), 0x01);
}

TEST(below_the_trigger_level_a_timeout_is_reported_and_at_it_received_data) {
  const unsigned levels[] = {1, 4, 8, 14};
  for (uint8_t code = 0; code < 4; code++) {
    Rig rig;
    rig.start(0x01, code);
    for (unsigned held = 1; held <= 16; held++) {
      rig.line.type("x");
      EXPECT_EQ(rig.in(kIir), held >= levels[code] ? 0xc4 : 0xcc);
      EXPECT(rig.pin.level);
    }
    for (unsigned held = 15; held > 0; held--) {
      rig.in(kRbr);
      EXPECT_EQ(rig.in(kIir), held >= levels[code] ? 0xc4 : 0xcc);
    }
    rig.in(kRbr);
    EXPECT_EQ(rig.in(kIir), 0xc1);
    EXPECT(!rig.pin.level);
  }
}

TEST(turning_the_holding_interrupt_on_raises_it_and_reading_its_cause_clears_it) {
  Rig rig;
  rig.start(0);
  for (int i = 0; i < 2; i++) {
    rig.out(kIer, 0x02);
    EXPECT(rig.pin.level);
    EXPECT_EQ(rig.in(kIir), 0xc2);
    EXPECT(!rig.pin.level);
    EXPECT_EQ(rig.in(kIir), 0xc1);
    rig.out(kIer, 0x02);  // it was on already
    EXPECT_EQ(rig.in(kIir), 0xc1);
    rig.out(kIer, 0);
  }
}

TEST(the_holding_interrupt_comes_again_when_what_was_written_is_gone) {
  Rig rig;
  rig.start(0x02);
  rig.in(kIir);
  rig.out(kThr, 'a');
  EXPECT(rig.pin.level);
  EXPECT_EQ(rig.in(kIir), 0xc2);
  rig.line.give_room(0);
  rig.print("bc");  // one in the shift register, one in the FIFO
  EXPECT(!rig.pin.level);
  EXPECT_EQ(rig.in(kLsr), 0x00);
  rig.line.give_room(1);
  EXPECT(rig.pin.level);
  EXPECT_EQ(rig.in(kLsr), 0x20);
  EXPECT_EQ(rig.in(kIir), 0xc2);
  rig.line.give_room(1);
  EXPECT_EQ(rig.in(kLsr), 0x60);
  EXPECT(!rig.pin.level);
  EXPECT_EQ(rig.line.sent(), "abc");
}

TEST(reading_another_cause_does_not_clear_the_holding_interrupt) {
  Rig rig;
  rig.start(0x03, 1);
  rig.line.type("x");
  EXPECT_EQ(rig.in(kIir), 0xcc);
  EXPECT_EQ(rig.in(kIir), 0xcc);
  rig.in(kRbr);
  EXPECT_EQ(rig.in(kIir), 0xc2);
  EXPECT_EQ(rig.in(kIir), 0xc1);
}

TEST(a_guest_that_waits_for_room_loses_nothing_to_a_slow_reader) {
  Rig rig;
  rig.start(0);
  std::string expected;
  size_t sent_bursts = 0;
  rig.line.give_room(0);
  for (unsigned step = 0; step < 1000; step++) {
    if ((rig.in(kLsr)&0x20) != 0) {
      const std::string burst = "burst " + std::to_string(1000 + sent_bursts++) + "\r\n";
      expected += burst + "1234";  // 16 bytes
      rig.print(burst + "1234");
    }
    rig.line.give_room(step % 7);
  }
  rig.line.give_room(SIZE_MAX);
  EXPECT(sent_bursts > 50);
  EXPECT_EQ(rig.line.sent(), expected);
}

TEST(bytes_written_without_room_are_dropped_and_no_overrun_is_signalled) {
  Rig rig;
  rig.start(0x04);
  rig.line.give_room(0);
  rig.print("0123456789abcdef+THIS IS TOO MUCH");
  EXPECT_EQ(rig.in(kLsr), 0x00);
  EXPECT_EQ(rig.in(kIir), 0xc1);
  rig.line.give_room(SIZE_MAX);
  EXPECT_EQ(rig.line.sent(), "0123456789abcdef+");  // the FIFO and the shift register
}

TEST(clearing_the_transmit_fifo_drops_what_is_in_it) {
  Rig rig;
  rig.start(0x02);
  rig.line.give_room(0);
  rig.print("abc");
  EXPECT_EQ(rig.in(kLsr), 0x00);
  rig.out(kFcr, 0x05);
  EXPECT_EQ(rig.in(kLsr), 0x20);
  EXPECT_EQ(rig.in(kIir), 0xc2);
  rig.line.give_room(SIZE_MAX);
  EXPECT_EQ(rig.line.sent(), "a");
}

TEST(clearing_the_receive_fifo_or_switching_fifos_drops_what_was_received) {
  Rig rig;
  rig.start(0x01);
  rig.line.type("abc");
  rig.out(kFcr, 0x03);
  EXPECT_EQ(rig.in(kLsr)&0x01, 0);
  EXPECT(!rig.pin.level);
  rig.line.type("abc");
  rig.out(kFcr, 0x00);
  EXPECT_EQ(rig.in(kLsr)&0x01, 0);
  rig.line.type("d");
  EXPECT_EQ(rig.read_all(), "d");
}

TEST(a_loop_returns_bytes_to_the_receiver_and_an_overrun_is_a_line_status_interrupt) {
  Rig rig;
  rig.start(0x07);
  rig.out(kMcr, 0x18);
  EXPECT(!rig.pin.level);  // OUT2 is off the pin in a loop
  rig.print("0123456789abcdef");
  EXPECT_EQ(rig.in(kIir), 0xc4);
  rig.out(kThr, 'X');
  EXPECT_EQ(rig.in(kIir), 0xc6);
  EXPECT_EQ(rig.in(kLsr)&0x03, 0x03);
  EXPECT_EQ(rig.in(kLsr)&0x03, 0x01);  // reading cleared it
  EXPECT_EQ(rig.in(kIir), 0xc4);
  EXPECT_EQ(rig.read_all(), "0123456789abcdef");
  EXPECT_EQ(rig.in(kIir), 0xc2);
  EXPECT_EQ(rig.line.sent(), "");
}

TEST(input_that_arrives_during_a_loop_waits_for_its_end) {
  Rig rig;
  rig.start(0x01);
  rig.out(kMcr, 0x18);
  rig.line.type("typed");
  EXPECT_EQ(rig.in(kLsr)&0x01, 0);
  rig.out(kMcr, 0x08);
  EXPECT(rig.pin.level);
  EXPECT_EQ(rig.read_all(), "typed");
}

TEST(changes_of_modem_lines_interrupt_until_the_status_is_read) {
  Rig rig;
  rig.start(0x08);
  EXPECT_EQ(rig.in(kMsr), 0xb0);
  rig.out(kMcr, 0x10);  // all lines drop
  EXPECT_EQ(rig.in(kIir), 0xc0);
  EXPECT_EQ(rig.in(kMsr), 0x0b);
  EXPECT_EQ(rig.in(kMsr), 0x00);
  EXPECT_EQ(rig.in(kIir), 0xc1);
  rig.out(kMcr, 0x14);  // ring begins: no change is reported
  EXPECT_EQ(rig.in(kMsr), 0x40);
  rig.out(kMcr, 0x10);
  EXPECT_EQ(rig.in(kMsr), 0x04);
  rig.out(kMcr, 0x08);
  EXPECT(rig.pin.level);
  EXPECT_EQ(rig.in(kMsr), 0xbb);
  EXPECT(!rig.pin.level);
}

TEST(out2_gates_the_pin_but_not_the_identification) {
  Rig rig;
  rig.out(kIer, 0x01);
  rig.line.type("x");
  EXPECT(!rig.pin.level);
  EXPECT_EQ(rig.in(kIir), 0x04);
  rig.out(kMcr, 0x08);
  EXPECT(rig.pin.level);
  rig.out(kMcr, 0x00);
  EXPECT(!rig.pin.level);
}

TEST(causes_are_reported_by_priority) {
  Rig rig;
  rig.start(0x0f);
  rig.out(kMcr, 0x10);
  rig.print("0123456789abcdefX");
  EXPECT_EQ(rig.in(kIir), 0xc6);
  rig.in(kLsr);
  EXPECT_EQ(rig.in(kIir), 0xc4);
  rig.read_all();
  EXPECT_EQ(rig.in(kIir), 0xc2);
  EXPECT_EQ(rig.in(kIir), 0xc0);
  rig.in(kMsr);
  EXPECT_EQ(rig.in(kIir), 0xc1);
}

TEST(reset_is_as_power_on_and_lowers_the_pin) {
  Rig rig;
  rig.start(0x0f);
  rig.out(kLcr, 0x83);
  rig.line.give_room(0);
  rig.print("lost");
  rig.line.type("x");
  EXPECT(rig.pin.level);
  rig.uart.reset();
  EXPECT(!rig.pin.level);
  EXPECT_EQ(rig.in(kLsr), 0x60);
  EXPECT_EQ(rig.in(kIer), 0x00);
  EXPECT_EQ(rig.in(kLcr), 0x00);
  rig.line.give_room(SIZE_MAX);
  rig.print("new");
  EXPECT_EQ(rig.line.sent(), "new");
}

TEST(every_register_takes_every_width_and_offset) {
  Rig rig;
  uint32_t value = 1;
  for (unsigned round = 0; round < 200; round++) {
    for (const uint32_t offset : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 0xfffeu, 0xffffu}) {
      for (unsigned size = 0; size <= 8; size++) {
        value = value * 1664525 + 1013904223;
        rig.uart.write(static_cast<uint16_t>(offset), size, value);
        rig.uart.read(static_cast<uint16_t>(offset), size);
        if (value % 64 == 0) rig.line.type("typed");
      }
    }
  }
  rig.uart.reset();
  rig.read_all();
  rig.uart.write(kMcr, 4, 0xffffff0b);
  EXPECT_EQ(rig.uart.read(kMcr, 4), 0xffb0600bu);  // MCR, LSR, MSR, scratch
  EXPECT_EQ(rig.uart.read(kScr, 2), 0xffffu);
  rig.out(kScr, 0x12);
  EXPECT_EQ(rig.uart.read(kScr, 4), 0xffffff12u);
  EXPECT_EQ(rig.uart.read(8, 1), 0xffu);
  EXPECT_EQ(rig.uart.read(0xffff, 4), 0xffffffffu);
}

TEST(cpus_and_the_line_may_use_it_at_once) {
  // A line that is its own far end, from whichever thread.
  class EchoLine final : public SerialLine {
   public:
    void connect(SerialListener*) override {}
    bool send(uint8_t) override {
      EXPECT(!sending_.exchange(true));  // one caller at a time
      sent_++;
      sending_ = false;
      return true;
    }
    bool has_room() const override { return true; }
    std::optional<uint8_t> receive() override {
      EXPECT(!receiving_.exchange(true));
      const uint8_t byte = next_++;
      receiving_ = false;
      return byte;
    }
    std::atomic<bool> sending_{false}, receiving_{false};
    std::atomic<unsigned> sent_{0};
    uint8_t next_ = 0;
  };
  EchoLine line;
  FakePin pin;
  Uart16550 uart(line, pin);
  uart.write(kFcr, 1, 0x01);
  uart.write(kMcr, 1, 0x08);
  const auto work = [&uart] {
    for (unsigned i = 0; i < 20000; i++) {
      uart.write(kThr, 1, i);
      uart.write(kIer, 1, i & 0x0f);
      uart.read(static_cast<uint16_t>(i % 8), 1);
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT(line.sent_ > 20000u);
  uart.write(kIer, 1, 0);
  EXPECT(!pin.level);
}

TEST(it_lets_go_of_the_line_when_it_ends) {
  FakeLine line;
  FakePin pin;
  {
    const Uart16550 uart(line, pin);
    EXPECT(line.connected());
  }
  EXPECT(!line.connected());
}

}  // namespace acrn
