// ServeRunner: --serve. Each configured disk for other VMMs, on a socket and a loop of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dm/run/runner.h"
#include "dm/server/server.h"

namespace acrn {

class ServeRunner final : public Runner {
 public:
  ServeRunner(const DmConfig& config, EpollLoop& loop) : Runner(config, loop) {}
  ~ServeRunner() override;

 private:
  Result<void> try_start() override;
  Result<void> halt() override;
  Result<void> add(const PciSlotConfig& slot);
  Result<void> add_function(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop);
  Result<void> add_bare(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop);
  Result<void> add_disk(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop);
  SlotEvents& watch_clients(const PciSlotConfig& slot, Server& server);
  Error cannot_serve(const PciSlotConfig& slot) const;

  std::vector<DeviceReport> stats() override;
  Result<void> pause() override;
  Result<void> resume() override;

  // In the order of the devices, which use them.
  struct Served {
    std::unique_ptr<EpollLoop> queue_loop;  // for a disk without iothreads
    std::unique_ptr<Server> server;
    std::function<Result<void>(const std::string& path, std::function<void()> finished)> serve;  // the device
  };
  std::vector<Served> served_;
  size_t clients_gone_ = 0;  // of sockets that no other can come to
};

}  // namespace acrn
