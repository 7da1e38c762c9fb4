// Uart16550: a PC's serial port, as a National 16550A: 16-byte FIFOs, modem lines of a terminal that is always there.
// Characters take no time, so a receive timeout is reported as soon as the FIFO is below its trigger level.
//
// Threads: any virtual CPU and the line's thread. mutex_ guards the registers and is never held across a call to the
// line or the pin; each direction of the line is driven by one thread at a time.
#pragma once

#include <array>
#include <optional>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/pci/level_interrupt.h"
#include "acrn/pci/pci_function.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/port_map.h"
#include "acrn/platform/serial_line.h"

namespace acrn {

class Uart16550 final : public PortDevice, private SerialListener {
 public:
  static constexpr uint16_t kPorts = kComPorts[0].count;
  static constexpr unsigned kFifoSize = 16;  // bytes, each direction

  // Line and pin outlive the UART.
  Uart16550(SerialLine& line, IrqPin& pin);
  ~Uart16550() override;

  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override;

 private:
  class Fifo {
   public:
    bool empty() const { return size_ == 0; }
    unsigned size() const { return size_; }
    void clear() { size_ = 0; }
    void push(uint8_t byte) { bytes_[(first_ + size_++) % kFifoSize] = byte; }
    uint8_t pop() {
      const uint8_t byte = bytes_[first_];
      first_ = (first_ + 1) % kFifoSize;
      size_--;
      return byte;
    }

   private:
    std::array<uint8_t, kFifoSize> bytes_{};
    unsigned first_ = 0, size_ = 0;
  };

  struct State {
    Fifo receive, transmit;        // one byte deep while the FIFOs are off
    std::optional<uint8_t> shift;  // the transmitter's shift register: on its way to the line
    bool fifos_on = false;
    unsigned trigger = 1;          // bytes
    bool holding_emptied = false;  // the THRE interrupt: once for each time that the transmit FIFO empties
    bool overrun = false;
    uint8_t interrupt_enable = 0, line_control = 0, modem_control = 0, modem_changes = 0, scratch = 0;
    uint16_t divisor = 1;  // 115200 baud

    unsigned depth() const { return fifos_on ? kFifoSize : 1; }
  };

  void input_arrived() override;
  void room_arrived() override;

  uint8_t read_register(unsigned port);
  void write_register(unsigned port, uint8_t value);
  uint8_t read_interrupt_identification() ACRN_REQUIRES(mutex_);
  uint8_t read_line_status() ACRN_REQUIRES(mutex_);
  uint8_t read_modem_status() ACRN_REQUIRES(mutex_);
  void write_transmit_holding(uint8_t byte) ACRN_REQUIRES(mutex_);
  void write_interrupt_enable(uint8_t value) ACRN_REQUIRES(mutex_);
  void write_fifo_control(uint8_t value) ACRN_REQUIRES(mutex_);
  void write_modem_control(uint8_t value) ACRN_REQUIRES(mutex_);

  uint8_t cause() const ACRN_REQUIRES(mutex_);
  uint8_t modem_lines() const ACRN_REQUIRES(mutex_);
  bool looped() const ACRN_REQUIRES(mutex_);
  bool divisor_shown() const ACRN_REQUIRES(mutex_);
  void clear_transmit() ACRN_REQUIRES(mutex_);
  void take_received(uint8_t byte) ACRN_REQUIRES(mutex_);

  bool interrupt_wanted();
  void send_pending();
  std::optional<uint8_t> next_to_send();
  void refill();
  bool can_receive();
  void update_outputs();

  SerialLine& line_;
  Mutex sender_mutex_, receiver_mutex_;  // before leaves: one thread at a time drives a direction of the line
  Mutex mutex_;                          // leaf
  State state_ ACRN_GUARDED_BY(mutex_);
  LevelInterrupt interrupt_;
};

}  // namespace acrn
