#include "dm/tools/session.h"

#include "acrn/base/concat.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"

namespace acrn {

DriverOptions SessionOptions::driver() const {
  DriverOptions options{.interrupts = interrupts};
  if (!event_index) options.features &= ~feature(VIRTIO_RING_F_EVENT_IDX);
  if (!indirect) options.features &= ~feature(VIRTIO_RING_F_INDIRECT_DESC);
  return options;
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions& options, size_t disks) {
  std::unique_ptr<Session> session(new Session);
  for (const std::string& text : options.slots) {
    auto slot = parse_slot(text);
    if (!slot) return slot.error();
    if (block_options(slot.value()) == nullptr) {
      return Error{ErrorKind::kUsage,
                   concat("-s ", text, ": vblk drives virtio-blk slots, not ", slot.value().device->name)};
    }
    session->slots_.push_back(std::move(slot).value());
  }
  if (session->slots_.size() != disks) {
    return Error{ErrorKind::kUsage, concat("-s: this command takes ", disks, disks == 1 ? " slot" : " slots", ", not ",
                                           session->slots_.size(), "; like -s 3,virtio-blk,disk.img")};
  }
  // The loopback guest has as many CPUs as its queues need.
  if (auto checked = check_slots(session->slots_, kMaxQueues); !checked) return checked.error();

  auto machine = LoopbackMachine::create(options.ram);
  if (!machine) return machine.error();
  session->machine_ = std::move(machine).value();
  auto loop = EpollLoop::create("virtio", {}, kQueueLoop);
  if (!loop) return loop.error();
  session->loop_ = std::move(loop).value();
  const DeviceEnvironment environment{.memory = session->machine_->memory(),
                                      .msi = session->machine_->msi(),
                                      .shared_loop = *session->loop_,
                                      .virtio = {.single_msi = options.single_msi, .windows = options.windows}};
  for (const PciSlotConfig& slot : session->slots_) {
    auto device = create_device(slot, environment, session->machine_->pin(slot.address));
    if (!device) return device.error();
    session->devices_.push_back(std::move(device).value());
    session->machine_->bus().attach(slot.address, session->devices_.back()->function());
  }
  return session;
}

std::string status_text(uint8_t status) {
  switch (status) {
    case VIRTIO_BLK_S_OK: return "";
    case VIRTIO_BLK_S_IOERR: return "I/O error (status 1)";
    case VIRTIO_BLK_S_UNSUPP: return "unsupported (status 2)";
    default: return concat("no status (", unsigned{status}, ")");
  }
}

std::string disk_name(const PciSlotConfig& slot) {
  return concat(short_name(slot.address), " (", source_text(block_options(slot)->source), ")");
}

}  // namespace acrn
