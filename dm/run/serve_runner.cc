#include "dm/run/serve_runner.h"

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/thread.h"

namespace acrn {
namespace {

// A kick is a message for which a virtual CPU of the client waits, some 100 us: to poll for several times as long is
// cheaper than one. It is not served before its answer, so the server's thread has no use for the loop.
constexpr LoopHabits kServedLoop{.longest_poll = std::chrono::microseconds(400), .lends = false};

}  // namespace

ServeRunner::~ServeRunner() {
  monitor_.reset();
  functions_.clear();
}

// Every disk first: no client gets in before all are open.
Result<void> ServeRunner::try_start() {
  for (const PciSlotConfig& slot : config_.slots) {
    if (!slot.block) continue;
    if (auto added = add(slot); !added) return added.error();
  }
  if (auto made = make_monitor(); !made) return made.error();
  for (size_t i = 0; i < served_.size(); i++) {
    const std::string path = vfio_user_socket(config_, functions_[i].address);
    auto serving = served_[i].server->serve(functions_[i].function->function(), path);
    if (!serving) return serving.error();
    log(LogLevel::kInfo, concat("slot ", short_name(functions_[i].address), " is served at ", path));
  }
  return {};
}

Result<void> ServeRunner::add(const PciSlotConfig& slot) {
  const std::string name = full_name(slot.address);
  Served served;
  auto loop = EpollLoop::create(concat("queues", name), {}, kServedLoop);
  if (!loop) return loop.error();
  served.queue_loop = std::move(loop).value();
  auto server = vfio_user::Server::create(name);
  if (!server) return server.error();
  served.server = std::move(server).value();
  const MachineServices services{.memory = served.server->memory(),
                                 .msi = served.server->msi(),
                                 .shared_loop = *served.queue_loop,
                                 .single_msi = config_.virtio_msi,
                                 .windows = config_.windows,
                                 .poll_nanoseconds = config_.virtio_poll,
                                 .queue_loop = kServedLoop};
  served_.push_back(std::move(served));
  return add_function(slot, services, served_.back().server->pin());
}

// All at once: what keeps one of them from coming to rest keeps no other from being flushed.
Result<void> ServeRunner::halt() {
  std::vector<Result<void>> results(functions_.size());
  std::vector<Thread> threads(functions_.size());
  for (size_t i = 0; i < functions_.size(); i++) {
    const auto end = [this, i, &results] {
      served_[i].server->stop();
      results[i] = functions_[i].function->flush();
    };
    if (auto started = threads[i].start(concat("end", short_name(functions_[i].address)), end); !started) end();
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
