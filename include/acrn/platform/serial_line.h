// The serial seam: the host's end of a UART's wire (terminal, pty, file), and what it tells the UART. Neither side
// blocks or holds a lock while it calls the other.
#pragma once

#include <cstdint>
#include <optional>

namespace acrn {

// The UART's side. Called on the line's thread.
class SerialListener {
 public:
  virtual void input_arrived() = 0;  // receive() has something
  virtual void room_arrived() = 0;   // send() has room again

 protected:
  ~SerialListener() = default;
};

// The host's side. Any thread, one caller at a time for each direction.
class SerialLine {
 public:
  virtual ~SerialLine() = default;
  virtual void connect(SerialListener* listener) = 0;  // before the guest runs; null: let go, after which no call comes
  virtual bool send(uint8_t byte) = 0;                 // false: no room now, the byte is not taken
  virtual bool has_room() const = 0;
  virtual std::optional<uint8_t> receive() = 0;  // the next byte of input
};

}  // namespace acrn
