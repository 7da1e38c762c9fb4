#include "dm/tools/session.h"

#include <algorithm>

#include "acrn/base/concat.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/devices/transport_device.h"
#include "dm/tools/vhost_user/remote_device.h"

namespace acrn {
namespace {

// What is held waits for `resume` of a control socket, and there is none.
Result<void> check_told(const PciSlotConfig& slot) {
  const BlockOptions& disk = *block_options(slot);
  const bool reads = disk.read_errors != ErrorPolicy::kReport;
  if (!reads && disk.write_errors == ErrorPolicy::kReport) return {};
  return in_slot(slot, {ErrorKind::kUsage,
                        concat(reads ? "rerror" : "werror", ": vblk cannot resume what it would hold; leave it out")});
}

}  // namespace

DriverOptions SessionOptions::driver() const {
  DriverOptions options{.interrupts = interrupts};
  if (!event_index) options.features &= ~feature(VIRTIO_RING_F_EVENT_IDX);
  if (!indirect) options.features &= ~feature(VIRTIO_RING_F_INDIRECT_DESC);
  return options;
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions& options, size_t disks) {
  const size_t given = options.slots.size() + options.connect.size();
  if (given != disks) {
    return Error{ErrorKind::kUsage,
                 concat("-s: this command takes ", disks, disks == 1 ? " slot" : " slots", ", not ", given,
                        "; like -s 3,virtio-blk,disk.img", disks == 1 ? "" : ",ro -s 4,virtio-blk,copy.img")};
  }
  std::unique_ptr<Session> session(new Session);
  for (const std::string& text : options.slots) {
    auto slot = parse_slot(text);
    if (!slot) return slot.error();
    if (block_options(slot.value()) == nullptr) {
      return Error{ErrorKind::kUsage,
                   concat("-s ", text, ": vblk drives virtio-blk slots, not ", slot.value().device->name)};
    }
    if (auto told = check_told(slot.value()); !told) return told.error();
    session->slots_.push_back(std::move(slot).value());
  }
  // The loopback guest has as many CPUs as its queues need.
  if (auto checked = check_slots(session->slots_, kMaxQueues); !checked) return checked.error();

  if (auto made = session->make_machine(options); !made) return made.error();
  const DeviceEnvironment environment{.memory = session->machine_->memory(),
                                      .msi = session->machine_->msi(),
                                      .shared_loop = *session->loop_,
                                      .virtio = {.single_msi = options.single_msi, .windows = options.windows}};
  for (const PciSlotConfig& slot : session->slots_) {
    auto device = create_device(slot, environment, session->machine_->pin(slot.address));
    if (!device) return device.error();
    session->attach(slot.address, std::move(device).value());
  }
  for (const std::string& text : options.connect) {
    if (auto added = session->add_remote(text, environment); !added) return added.error();
  }
  return session;
}

Result<void> Session::make_machine(const SessionOptions& options) {
  if (options.connect.empty() && !shares_memory(slots_)) {
    auto machine = LoopbackMachine::create(options.ram);
    if (!machine) return machine.error();
    machine_ = std::move(machine).value();
  } else {
    auto ram = create_shared_ram(Gpa{LoopbackMachine::kRamBase}, options.ram);
    if (!ram) return ram.error();
    shared_.emplace(std::move(ram).value());
    machine_ = std::make_unique<LoopbackMachine>(*shared_);
  }
  auto loop = EpollLoop::create("virtio", {}, kQueueLoop);
  if (!loop) return loop.error();
  loop_ = std::move(loop).value();
  return {};
}

void Session::attach(PciAddress address, std::unique_ptr<Device> device) {
  devices_.push_back(std::move(device));
  machine_->bus().attach(address, devices_.back()->function());
}

// In the highest slot that is free, as a disk of which only the driver will know more.
Result<void> Session::add_remote(const std::string& text, const DeviceEnvironment& environment) {
  constexpr std::string_view kVhostUser = "vhost-user=";
  if (!text.starts_with(kVhostUser) || text.size() == kVhostUser.size()) {
    return Error{ErrorKind::kUsage, concat("--connect ", text,
                                           ": not a server; give a socket, like --connect "
                                           "vhost-user=/run/acrn/vm1.9.0.sock")};
  }
  auto remote = RemoteDevice::connect(text.substr(kVhostUser.size()), *shared_, *loop_);
  if (!remote) return Error{remote.error().kind, concat("--connect ", text, ": ", remote.error().message)};
  PciAddress address{0, 31, 0};
  while (std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot.address == address; })) {
    address.slot--;
  }
  auto slot = parse_slot(concat(short_name(address), ",virtio-blk,nodisk"));
  if (!slot) return slot.error();
  auto& options = std::get<BlockOptions>(slot.value().options);
  options.source = FilePath{text};
  options.queues = remote.value()->queue_count();
  options.queue_size = remote.value()->queue_size(0);
  const uint64_t features = remote.value()->features();
  const VirtioBlkConfig& config = remote.value()->config();
  options.read_only = (features & feature(VIRTIO_BLK_F_RO)) != 0;
  options.writeback = config.writeback != 0;
  if ((features & feature(VIRTIO_BLK_F_DISCARD)) != 0) {
    options.discard = DiscardLimits{.max_sectors = config.max_discard_sectors,
                                    .max_segments = config.max_discard_seg,
                                    .alignment = config.discard_sector_alignment};
  }
  slots_.push_back(std::move(slot).value());
  attach(address,
         make_transport_device(std::move(remote).value(), full_name(address), environment, machine_->pin(address)));
  return {};
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
