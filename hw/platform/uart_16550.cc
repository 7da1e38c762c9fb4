#include "hw/platform/uart_16550.h"

#include "hw/platform/port_bytes.h"

namespace acrn {
namespace {

// Registers by port; with DLAB the first two are the divisor.
enum : unsigned {
  kData = 0,
  kInterruptEnable = 1,
  kInterruptIdentification = 2,  // written: FIFO control
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kModemStatus = 6,
  kScratch = 7,
};

enum : uint8_t { kEnableReceived = 0x01, kEnableHolding = 0x02, kEnableLine = 0x04, kEnableModem = 0x08 };

enum : uint8_t {  // from the highest priority down
  kCauseLine = 0x06,
  kCauseReceived = 0x04,
  kCauseTimeout = 0x0c,
  kCauseHolding = 0x02,
  kCauseModem = 0x00,
  kCauseNone = 0x01,
};

constexpr uint8_t kFifosOnShown = 0xc0;

enum : uint8_t { kFifoOn = 0x01, kFifoClearReceive = 0x02, kFifoClearTransmit = 0x04 };
constexpr unsigned kTriggers[] = {1, 4, 8, 14};

constexpr uint8_t kDivisorLatch = 0x80;

enum : uint8_t {
  kDataTerminalReady = 0x01,
  kRequestToSend = 0x02,
  kOut1 = 0x04,
  kOut2 = 0x08,
  kLoop = 0x10,
  kModemControlBits = 0x1f,
};

enum : uint8_t { kDataReady = 0x01, kOverrun = 0x02, kHoldingEmpty = 0x20, kTransmitterEmpty = 0x40 };

enum : uint8_t { kClearToSend = 0x10, kDataSetReady = 0x20, kRing = 0x40, kCarrier = 0x80, kRingEnded = 0x04 };

}  // namespace

Uart16550::Uart16550(SerialLine& line, IrqPin& pin)
    : line_(line), interrupt_(pin, [this] { return interrupt_wanted(); }) {
  line_.connect(this);
}

Uart16550::~Uart16550() { line_.connect(nullptr); }

uint32_t Uart16550::read(uint16_t offset, unsigned size) {
  const uint32_t value = read_bytes(offset, size, kPorts, [this](unsigned port) { return read_register(port); });
  update_outputs();
  return value;
}

void Uart16550::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned port, uint8_t byte) { write_register(port, byte); });
  update_outputs();
}

void Uart16550::reset() {
  {
    MutexLock lock(mutex_);
    state_ = State{};
  }
  update_outputs();
}

void Uart16550::input_arrived() {
  refill();
  interrupt_.update();
}

void Uart16550::room_arrived() {
  send_pending();
  interrupt_.update();
}

// What an access changed reaches the line and the pin. Not under the lock: it calls out.
void Uart16550::update_outputs() {
  send_pending();
  refill();
  interrupt_.update();
}

uint8_t Uart16550::read_register(unsigned port) {
  MutexLock lock(mutex_);
  switch (port) {
    case kData:
      if (divisor_shown()) return static_cast<uint8_t>(state_.divisor);
      return state_.receive.empty() ? uint8_t{0} : state_.receive.pop();
    case kInterruptEnable: return divisor_shown() ? static_cast<uint8_t>(state_.divisor >> 8) : state_.interrupt_enable;
    case kInterruptIdentification: return read_interrupt_identification();
    case kLineControl: return state_.line_control;
    case kModemControl: return state_.modem_control;
    case kLineStatus: return read_line_status();
    case kModemStatus: return read_modem_status();
    default: return state_.scratch;
  }
}

void Uart16550::write_register(unsigned port, uint8_t value) {
  MutexLock lock(mutex_);
  switch (port) {
    case kData:
      if (!divisor_shown()) return write_transmit_holding(value);
      state_.divisor = static_cast<uint16_t>((state_.divisor & 0xff00) | value);
      return;
    case kInterruptEnable:
      if (!divisor_shown()) return write_interrupt_enable(value);
      state_.divisor = static_cast<uint16_t>((state_.divisor & 0x00ff) | value << 8);
      return;
    case kInterruptIdentification: return write_fifo_control(value);
    case kLineControl: state_.line_control = value; return;
    case kModemControl: return write_modem_control(value);
    case kScratch: state_.scratch = value; return;
    default: return;  // the status registers are not written
  }
}

uint8_t Uart16550::read_interrupt_identification() {
  const uint8_t shown = cause();
  if (shown == kCauseHolding) state_.holding_emptied = false;
  return state_.fifos_on ? shown | kFifosOnShown : shown;
}

uint8_t Uart16550::read_line_status() {
  uint8_t value = 0;
  if (!state_.receive.empty()) value |= kDataReady;
  if (std::exchange(state_.overrun, false)) value |= kOverrun;
  if (state_.transmit.empty()) value |= kHoldingEmpty;
  if (state_.transmit.empty() && !state_.shift) value |= kTransmitterEmpty;
  return value;
}

uint8_t Uart16550::read_modem_status() {
  return static_cast<uint8_t>(modem_lines() | std::exchange(state_.modem_changes, uint8_t{0}));
}

void Uart16550::write_transmit_holding(uint8_t byte) {
  state_.holding_emptied = false;
  if (looped()) {
    take_received(byte);
    state_.holding_emptied = state_.transmit.empty();
  } else if (state_.transmit.size() < state_.depth()) {
    state_.transmit.push(byte);
  }
}

void Uart16550::write_interrupt_enable(uint8_t value) {
  const bool asked = (value & kEnableHolding) != 0 && (state_.interrupt_enable & kEnableHolding) == 0;
  if (asked && state_.transmit.empty()) state_.holding_emptied = true;
  state_.interrupt_enable = value & (kEnableReceived | kEnableHolding | kEnableLine | kEnableModem);
}

void Uart16550::write_fifo_control(uint8_t value) {
  const bool on = (value & kFifoOn) != 0;
  if (on != state_.fifos_on) {
    state_.fifos_on = on;
    state_.receive.clear();
    clear_transmit();
  }
  if (!on) return;  // the other bits count only together with this one
  if ((value & kFifoClearReceive) != 0) state_.receive.clear();
  if ((value & kFifoClearTransmit) != 0) clear_transmit();
  state_.trigger = kTriggers[value >> 6];
}

void Uart16550::write_modem_control(uint8_t value) {
  const uint8_t before = modem_lines();
  state_.modem_control = value & kModemControlBits;
  const uint8_t after = modem_lines();
  // Each input's "has changed" bit is four below it, but that of RI tells of its end only.
  const auto changed = static_cast<uint8_t>((before ^ after) & ~kRing);
  state_.modem_changes |= static_cast<uint8_t>(changed >> 4);
  if ((before & ~after & kRing) != 0) state_.modem_changes |= kRingEnded;
}

uint8_t Uart16550::cause() const {
  const uint8_t enabled = state_.interrupt_enable;
  if ((enabled & kEnableLine) != 0 && state_.overrun) return kCauseLine;
  if ((enabled & kEnableReceived) != 0 && !state_.receive.empty()) {
    return !state_.fifos_on || state_.receive.size() >= state_.trigger ? kCauseReceived : kCauseTimeout;
  }
  if ((enabled & kEnableHolding) != 0 && state_.holding_emptied) return kCauseHolding;
  if ((enabled & kEnableModem) != 0 && state_.modem_changes != 0) return kCauseModem;
  return kCauseNone;
}

uint8_t Uart16550::modem_lines() const {
  if (!looped()) return kClearToSend | kDataSetReady | kCarrier;
  const uint8_t control = state_.modem_control;
  uint8_t lines = 0;
  if ((control & kRequestToSend) != 0) lines |= kClearToSend;
  if ((control & kDataTerminalReady) != 0) lines |= kDataSetReady;
  if ((control & kOut1) != 0) lines |= kRing;
  if ((control & kOut2) != 0) lines |= kCarrier;
  return lines;
}

bool Uart16550::looped() const { return (state_.modem_control & kLoop) != 0; }

bool Uart16550::divisor_shown() const { return (state_.line_control & kDivisorLatch) != 0; }

void Uart16550::clear_transmit() {
  if (!state_.transmit.empty()) state_.holding_emptied = true;
  state_.transmit.clear();
}

void Uart16550::take_received(uint8_t byte) {
  if (state_.receive.size() < state_.depth()) {
    state_.receive.push(byte);
  } else {
    state_.overrun = true;
  }
}

// On a PC the OUT2 pin lets the interrupt through, and a loop takes that pin off, too.
bool Uart16550::interrupt_wanted() {
  MutexLock lock(mutex_);
  return cause() != kCauseNone && (state_.modem_control & kOut2) != 0 && !looped();
}

// Stops when the line has no room; room_arrived() goes on.
void Uart16550::send_pending() {
  MutexLock sending(sender_mutex_);
  while (const auto byte = next_to_send()) {
    if (!line_.send(*byte)) return;
    MutexLock lock(mutex_);
    state_.shift.reset();
  }
}

std::optional<uint8_t> Uart16550::next_to_send() {
  MutexLock lock(mutex_);
  if (!state_.shift && !state_.transmit.empty()) {
    state_.shift = state_.transmit.pop();
    if (state_.transmit.empty()) state_.holding_emptied = true;
  }
  return state_.shift;
}

// Takes from the line only what there is room for, so a slow guest loses no input.
void Uart16550::refill() {
  MutexLock receiving(receiver_mutex_);
  while (can_receive()) {
    const auto byte = line_.receive();
    if (!byte) return;
    MutexLock lock(mutex_);
    take_received(*byte);
  }
}

// In a loop the receiver is off the line; what arrives waits there.
bool Uart16550::can_receive() {
  MutexLock lock(mutex_);
  return !looped() && state_.receive.size() < state_.depth();
}

}  // namespace acrn
