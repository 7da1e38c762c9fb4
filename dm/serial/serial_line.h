// HostSerialLine: the host's end of a serial port's wire, on a loop. The guest's side only moves bytes in and out of
// two rings and rings a doorbell; the loop reads and writes, and waits for nobody.
//
// Output that a slow reader does not take stays in its ring until he does; then the guest is told that there is no
// room. Without any reader (a pty that nobody opened, a pipe whose reader is gone) output is thrown away, but for a pty
// the newest half of the ring waits for a reader that opens it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "acrn/base/result.h"
#include "acrn/platform/serial_line.h"
#include "dm/event/epoll_loop.h"
#include "dm/serial/byte_ring.h"
#include "dm/serial/escape_filter.h"
#include "dm/serial/serial_endpoints.h"

namespace acrn {

class HostSerialLine final : public SerialLine {
 public:
  static constexpr size_t kOutputBytes = 64 << 10, kInputBytes = 4 << 10;

  // `backend`: "stdio", "pty" or a path; `option_text`: the option that says so, for messages. `leave` runs on the
  // loop, once, when the user of the terminal types Ctrl-a x. The loop outlives the line.
  static Result<std::unique_ptr<HostSerialLine>> open(const std::string& backend, const std::string& option_text,
                                                      EpollLoop& loop, std::function<void()> leave);
  // Tries for a moment to write what is left, and puts the terminal back.
  ~HostSerialLine() override;

  void connect(SerialListener* listener) override;
  bool send(uint8_t byte) override;
  bool has_room() const override;
  std::optional<uint8_t> receive() override;

 private:
  HostSerialLine(SerialEndpoints ends, std::string name, EpollLoop& loop, std::function<void()> leave);
  void start();
  void stop();
  void serve();

  void write_output();
  ssize_t write_some();
  void wait_for_output();
  void output_ready();
  void output_failed(int error);
  void keep_newest();
  void announce_room();
  void flush();

  void begin_input();
  bool read_some();
  void pass_on(std::span<const uint8_t> bytes);
  void pause_input();
  void resume_input();
  void input_ended(int error);

  bool attach();
  void detach();
  void retry_later();
  void retry();
  bool pty_open() const;

  EpollLoop& loop_;
  SerialEndpoints ends_;
  const std::string name_;
  ByteRing output_{kOutputBytes};                 // the UART pushes, the loop takes
  ByteRing input_{kInputBytes};                   // the loop pushes, the UART takes
  mutable std::atomic<bool> room_wanted_{false};  // the UART saw a full ring
  std::atomic<bool> input_paused_{false};         // the loop saw a full ring; only the loop changes it
  std::unique_ptr<Notifier> doorbell_;

  // On the loop only.
  SerialListener* listener_ = nullptr;
  std::function<void()> leave_;
  EscapeFilter escape_;
  std::unique_ptr<FdWatch> input_watch_, output_watch_;
  std::unique_ptr<Timer> retry_timer_;  // while a retry is due
  bool attached_ = true;  // false: nobody on the other side of the pty, or we are in the terminal's background
  bool loss_told_ = false;
};

}  // namespace acrn
