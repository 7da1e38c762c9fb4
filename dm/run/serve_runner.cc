#include "dm/run/serve_runner.h"

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/thread.h"
#include "dm/run/preflight.h"

namespace acrn {
ServeRunner::~ServeRunner() {
  control_server_.reset();
  devices_.clear();
}

// Every disk first: no client gets in before all are open.
Result<void> ServeRunner::try_start() {
  for (const PciSlotConfig& slot : config_.slots) {
    if (!slot.device->servable) continue;
    if (auto added = add(slot); !added) return added.error();
  }
  if (auto made = make_control_server(); !made) return made.error();
  for (size_t i = 0; i < served_.size(); i++) {
    const PciAddress address = devices_[i].slot.address;
    const std::string path = serve_socket(config_, address);
    auto serving = served_[i].server->serve(devices_[i].device->function(), path);
    if (!serving) return serving.error();
    log(LogLevel::kInfo, concat("slot ", short_name(address), " is served at ", path));
  }
  return {};
}

Result<void> ServeRunner::add(const PciSlotConfig& slot) {
  const ServerRow& row = *config_.serve->server;
  const std::string name = full_name(slot.address);
  Served served;
  auto loop = EpollLoop::create(concat("queues", name), {}, row.queue_loop);
  if (!loop) return loop.error();
  served.queue_loop = std::move(loop).value();
  auto server = row.create(name);
  if (!server) return server.error();
  served.server = std::move(server).value();
  const DeviceEnvironment environment{.memory = served.server->memory(),
                                      .msi = served.server->msi(),
                                      .shared_loop = *served.queue_loop,
                                      .virtio = virtio_options(config_),
                                      .queue_loop = row.queue_loop};
  served_.push_back(std::move(served));
  return add_device(slot, environment, served_.back().server->pin());
}

// All at once: what keeps one of them from coming to rest keeps no other from being flushed.
Result<void> ServeRunner::halt() {
  std::vector<Result<void>> results(devices_.size());
  std::vector<Thread> threads(devices_.size());
  for (size_t i = 0; i < devices_.size(); i++) {
    const auto end = [this, i, &results] {
      served_[i].server->stop();
      if (DiskControl* const disk = devices_[i].device->disk(); disk != nullptr) results[i] = disk->flush();
    };
    if (auto started = threads[i].start(concat("end", short_name(devices_[i].slot.address)), end); !started) end();
  }
  for (Thread& thread : threads) thread.join();
  for (Result<void>& result : results) {
    if (!result) return result;
  }
  return {};
}

Result<void> ServeRunner::pause() {
  return Error{ErrorKind::kUsage, "pause: there are no virtual CPUs here; ask the VMM that has them"};
}

Result<void> ServeRunner::resume() {
  return Error{ErrorKind::kUsage, "resume: there are no virtual CPUs here; ask the VMM that has them"};
}

}  // namespace acrn
