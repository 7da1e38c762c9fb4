#include "dm/run/serve_runner.h"

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/thread.h"
#include "dm/devices/device_table.h"
#include "dm/run/confinement.h"
#include "dm/run/preflight.h"

namespace acrn {

ServeRunner::~ServeRunner() {
  end_monitors();
  for (Served& served : served_) served.server->stop();
  devices_.clear();
}

// Every disk first: no client gets in before all are open.
Result<void> ServeRunner::try_start() {
  for (const PciSlotConfig& slot : config_.slots) {
    if (!slot.device->servable) continue;
    if (auto added = add(slot); !added) return added.error();
  }
  if (auto made = make_monitors(); !made) return made.error();
  for (size_t i = 0; i < served_.size(); i++) {
    if (auto bound = served_[i].server->bind(serve_socket(config_, devices_[i].slot.address)); !bound) return bound;
  }
  reserve_for_sandbox(config_);
  if (auto entered = enter_sandbox(config_); !entered) return entered;
  for (size_t i = 0; i < served_.size(); i++) {
    const PciAddress address = devices_[i].slot.address;
    const std::string path = serve_socket(config_, address);
    auto serving = served_[i].serve(path, [this] {
      loop_.post([this] {
        if (++clients_gone_ == served_.size()) stop();
      });
    });
    if (!serving) return serving.error();
    log(LogLevel::kInfo, concat("slot ", short_name(address), " is served at ", path));
  }
  return {};
}

Result<void> ServeRunner::add(const PciSlotConfig& slot) {
  const ServerRow& row = *config_.serve->server;
  LoopOptions options = row.queue_loop;
  options.start_late = row.create_block == nullptr;  // with the first queue, if any lives there
  auto loop = EpollLoop::create(concat("queues", full_name(slot.address)), {}, options);
  if (!loop) return loop.error();
  if (row.create != nullptr) return add_function(slot, std::move(loop).value());
  if (row.create_virtio != nullptr) return add_bare(slot, std::move(loop).value());
  return add_disk(slot, std::move(loop).value());
}

Result<void> ServeRunner::add_function(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop) {
  const ServerRow& row = *config_.serve->server;
  auto made = row.create(full_name(slot.address));
  if (!made) return made.error();
  PciServer& server = *made.value();
  const DeviceEnvironment environment{.memory = server.memory(),
                                      .msi = server.msi(),
                                      .shared_loop = *loop,
                                      .virtio = virtio_options(config_),
                                      .queue_loop = row.queue_loop,
                                      .throttles = &throttles_,
                                      .events = &watch_clients(slot, server),
                                      .confine_recorder = recorder_confinement(config_)};
  served_.push_back({std::move(loop), std::move(made).value(), {}});
  auto device = create_device(slot, environment, server.pin());
  if (!device) return device.error();
  PciFunction& function = device.value()->function();
  served_.back().serve = [&server, &function](const std::string& path, std::function<void()> finished) {
    return server.serve(function, path, std::move(finished));
  };
  devices_.push_back({slot, std::move(device).value()});
  return {};
}

// Who is told of the slot, its clients included.
SlotEvents& ServeRunner::watch_clients(const PciSlotConfig& slot, Server& server) {
  SlotEvents& events = add_events(slot.address);
  server.on_client([&events](bool connected) { events.tell_client(connected); });
  return events;
}

Error ServeRunner::cannot_serve(const PciSlotConfig& slot) const {
  return Error{ErrorKind::kUsage, concat("-s ", short_name(slot.address), ",", slot.device->name, ": ",
                                         config_.serve->server->name, " cannot serve it; use --serve vfio-user")};
}

Result<void> ServeRunner::add_bare(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop) {
  const ServerRow& row = *config_.serve->server;
  if (slot.device->create_bare == nullptr) return cannot_serve(slot);
  auto made = row.create_virtio(full_name(slot.address));
  if (!made) return made.error();
  VirtioServer& server = *made.value();
  const VirtioEnvironment environment{.memory = server.memory(),
                                      .shared_loop = *loop,
                                      .queue_loop = row.queue_loop,
                                      .poll_nanoseconds = config_.virtio_poll.value_or(0),
                                      .throttles = &throttles_,
                                      .events = &watch_clients(slot, server),
                                      .confine_recorder = recorder_confinement(config_)};
  served_.push_back({std::move(loop), std::move(made).value(), {}});
  auto created = create_bare_device(slot, environment);
  if (!created) return created.error();
  BareDevice& device = *created.value();
  served_.back().serve = [&server, &device](const std::string& path, std::function<void()> finished) {
    return server.serve(device.virtio(), device.guest_errors(), path, std::move(finished));
  };
  devices_.push_back({slot, std::move(created).value()});
  return {};
}

Result<void> ServeRunner::add_disk(const PciSlotConfig& slot, std::unique_ptr<EpollLoop> loop) {
  if (slot.device->create_disk == nullptr) return cannot_serve(slot);
  auto made = config_.serve->server->create_block(full_name(slot.address), *loop);
  if (!made) return made.error();
  BlockServer& server = *made.value();
  SlotEvents& events = watch_clients(slot, server);
  EpollLoop& its_loop = *loop;
  served_.push_back({std::move(loop), std::move(made).value(), {}});
  auto created = create_bare_disk(slot, its_loop, &throttles_, &events);
  if (!created) return created.error();
  BareDisk& disk = *created.value();
  served_.back().serve = [&server, &disk](const std::string& path, const std::function<void()>&) {
    return server.serve(disk.backend(), disk.map(), disk.options(), path);
  };
  devices_.push_back({slot, std::move(created).value()});
  return {};
}

// All at once: what keeps one of them from coming to rest keeps no other from being flushed.
Result<void> ServeRunner::halt() {
  lift_limits();
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

std::vector<DeviceReport> ServeRunner::stats() {
  std::vector<DeviceReport> reports = Runner::stats();
  for (size_t i = 0; i < reports.size(); i++) reports[i].clients = slot_events_[i].clients();
  return reports;
}

Result<void> ServeRunner::pause() {
  return Error{ErrorKind::kUsage, "pause: there are no virtual CPUs here; ask the VMM that has them"};
}

Result<void> ServeRunner::resume() {
  retry_held();
  return {};
}

}  // namespace acrn
