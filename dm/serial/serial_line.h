#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unistd.h>
#include "acrn/base/result.h"
#include "acrn/platform/serial_line.h"
#include "dm/event/epoll_loop.h"
namespace acrn {
class HostSerialLine final : public SerialLine {
 public:
  static Result<std::unique_ptr<HostSerialLine>> open(const std::string&, const std::string&, EpollLoop&, std::function<void()>) { return std::make_unique<HostSerialLine>(); }
  void connect(SerialListener*) override {}
  bool send(uint8_t byte) override { return ::write(1, &byte, 1) == 1; }
  bool has_room() const override { return true; }
  std::optional<uint8_t> receive() override { return std::nullopt; }
};
}
