#include "dm/tools/vhost_user/remote_device.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/virtio/ring_layout.h"
#include "dm/base/errno_text.h"

namespace acrn {

using namespace vhost_user;  // NOLINT(google-build-using-namespace): the names of its messages

namespace {

constexpr uint64_t kWantedProtocolFeatures = kMq | kReplyAck | kBackendReq | kConfig | kInflightShmfd | kResetDevice;
constexpr std::chrono::seconds kPatience{30};
constexpr uint32_t kMostEntries = 1024;
constexpr unsigned kMostQueues = 64;

struct ConfigMessage {
  ConfigHead head;
  std::array<uint8_t, VIRTIO_BLK_CONFIG_SIZE> bytes;
};

UniqueFd new_event() { return UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

}  // namespace

Result<std::unique_ptr<RemoteDevice>> RemoteDevice::connect(const std::string& path, const MemoryRegion& ram,
                                                            EventLoop& loop) {
  std::unique_ptr<RemoteDevice> device(new RemoteDevice(path, ram, loop));
  MutexLock lock(device->mutex_);
  if (auto opened = device->open(); !opened) return opened.error();
  if (auto opened = device->open_queues(); !opened) return opened.error();
  return device;
}

RemoteDevice::~RemoteDevice() {
  loop_.run([this] {
    for (Queue& queue : queues_) queue.call_watch.reset();
    back_watch_.reset();
  });
}

Result<void> RemoteDevice::open() {
  prepared_ = false;
  auto connected = BackEndSocket::connect(path_, kWantedProtocolFeatures, kPatience);
  if (!connected) return connected.error();
  server_ = std::move(connected).value();
  features_ = server_->features();
  protocol_features_ = server_->protocol_features();
  return open_back_channel();
}

Result<void> RemoteDevice::open_back_channel() {
  if (!has(kBackendReq)) return {};
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorKind::kInternal, concat("socketpair: ", errno_text(errno))};
  }
  const UniqueFd servers(ends[1]);
  loop_.run([&] {
    back_watch_.reset();
    back_channel_ = UniqueFd(ends[0]);
    back_watch_ = loop_.watch_event(back_channel_.fd(), [this] { take_back_messages(); });
  });
  const int sent = servers.fd();
  return server_->send(SET_BACKEND_REQ_FD, {}, {&sent, 1}, true);
}

// On the loop. All there is to hear is that the configuration has changed.
void RemoteDevice::take_back_messages() {
  Header header{};
  while (::recv(back_channel_.fd(), &header, sizeof(header), MSG_DONTWAIT) == sizeof(header)) {
    VirtioInterruptSink* const sink = sink_;
    if (header.request == BACKEND_CONFIG_CHANGE_MSG && sink != nullptr) sink->config_interrupt();
  }
}

Result<void> RemoteDevice::open_queues() {
  uint64_t count = 1;
  if (has(kMq)) {
    const auto asked = server_->get<uint64_t>(GET_QUEUE_NUM);
    if (!asked) return asked.error();
    count = std::min<uint64_t>(asked.value(), kMostQueues);
  }
  if (count == 0) return Error{ErrorKind::kNoInput, concat(path_, ": the server has no queue")};
  // As many entries as the device expects: the driver's chains are at most two longer than seg_max.
  const auto config = server_->ask(GET_CONFIG, ConfigMessage{{0, VIRTIO_BLK_CONFIG_SIZE, 0}, {}});
  if (!config) return config.error();
  std::memcpy(&config_, config.value().bytes.data(), sizeof(config_));
  if (const uint32_t size = config_.seg_max + 2; std::has_single_bit(size) && size <= kMostEntries) {
    queue_size_ = static_cast<uint16_t>(size);
  }
  queues_ = std::vector<Queue>(count);
  for (unsigned index = 0; index < count; index++) {
    Queue& queue = queues_[index];
    queue.kick = new_event();
    queue.call = new_event();
    loop_.run([&] {
      queue.call_watch = loop_.watch_event(queue.call.fd(), [this, index] {
        if (VirtioInterruptSink* const sink = sink_) sink->queue_interrupt(index);
      });
    });
    if (!queue.kick || queue.call_watch == nullptr) {
      return Error{ErrorKind::kInternal, concat("eventfd: ", errno_text(errno))};
    }
  }
  return {};
}

Result<void> RemoteDevice::reconnect() {
  MutexLock lock(mutex_);
  if (auto opened = open(); !opened) return opened.error();
  for (unsigned index = 0; index < queues_.size(); index++) {
    const auto& setup = queues_[index].setup;
    if (!setup) continue;
    const auto used = MemoryMap({ram_}).slice(setup->ring.used, ring_layout(setup->size).used_bytes);
    const uint16_t base = used ? used->load16(kRingIndex, __ATOMIC_ACQUIRE) : uint16_t{0};
    if (auto started = start(index, base); !started) return started.error();
  }
  return {};
}

// What comes before the first queue.
Result<void> RemoteDevice::prepare() {
  const uint64_t accepted = accepted_ | (features_ & (kProtocolFeatures | kVersion1));
  if (auto told = server_->tell(SET_FEATURES, accepted); !told) return told.error();
  if (prepared_) return {};
  const MemoryRegionDescription ram{raw(ram_.base), ram_.size, address_of(ram_.host), ram_.file_offset};
  if (auto told = server_->tell_of_memory({&ram, 1}, {&ram_.file, 1}); !told) return told.error();
  if (has(kInflightShmfd)) {
    if (!inflight_file_) {
      const InflightDescription wanted{0, 0, static_cast<uint16_t>(queues_.size()), queue_size_, {}};
      const auto got = server_->ask(GET_INFLIGHT_FD, wanted, &inflight_file_);
      if (!got) return got.error();
      inflight_ = got.value();
    }
    if (auto told = server_->tell(SET_INFLIGHT_FD, inflight_, inflight_file_.fd()); !told) return told.error();
  }
  prepared_ = true;
  return {};
}

Result<void> RemoteDevice::start(unsigned index, uint16_t base) {
  Queue& queue = queues_[index];
  const auto user = [&](Gpa gpa) { return address_of(ram_.host) + (raw(gpa) - raw(ram_.base)); };
  const RingPlace& ring = queue.setup->ring;
  if (auto told = prepare(); !told) return told.error();
  if (auto told = server_->tell(SET_VRING_NUM, VringState{index, queue.setup->size}); !told) return told.error();
  if (auto told = server_->tell(SET_VRING_BASE, VringState{index, base}); !told) return told.error();
  const VringAddress address{index, 0, user(ring.desc), user(ring.used), user(ring.avail), 0};
  if (auto told = server_->tell(SET_VRING_ADDR, address); !told) return told.error();
  if (auto told = server_->tell(SET_VRING_CALL, uint64_t{index}, queue.call.fd()); !told) return told.error();
  if (auto told = server_->tell(SET_VRING_KICK, uint64_t{index}, queue.kick.fd()); !told) return told.error();
  if ((features_ & kProtocolFeatures) == 0) return {};
  return server_->tell(SET_VRING_ENABLE, VringState{index, 1});
}

bool RemoteDevice::start_queue(unsigned index, const QueueSetup& setup) {
  MutexLock lock(mutex_);
  const uint64_t size = ring_layout(setup.size).total_bytes;
  const MemoryMap map({ram_});
  if (!map.holds(setup.ring.desc, size)) return false;  // of a legacy ring all of it
  queues_[index].setup = setup;
  auto started = start(index, setup.next_avail);
  if (!started) log(LogLevel::kError, concat(path_, ": ", started.error().message));
  return started.ok();
}

uint16_t RemoteDevice::stop_queue(unsigned index) {
  MutexLock lock(mutex_);
  queues_[index].setup.reset();
  const auto state = server_->ask(GET_VRING_BASE, VringState{index, 0});
  return state ? static_cast<uint16_t>(state.value().value) : uint16_t{0};
}

void RemoteDevice::reset() {
  for (unsigned index = 0; index < queues_.size(); index++) {
    if (queues_[index].setup) stop_queue(index);
  }
  accepted_ = 0;
  MutexLock lock(mutex_);
  prepared_ = false;
  inflight_file_.reset();  // what was in flight is over
  if (has(kResetDevice)) static_cast<void>(server_->send(RESET_DEVICE, {}));
}

void RemoteDevice::kick(unsigned index) { ::eventfd_write(queues_[index].kick.fd(), 1); }

void RemoteDevice::read_config(unsigned offset, std::span<uint8_t> to) {
  ConfigMessage message{{0, VIRTIO_BLK_CONFIG_SIZE, 0}, {}};
  MutexLock lock(mutex_);
  const auto config = server_->ask(GET_CONFIG, message);
  for (size_t i = 0; i < to.size(); i++) {
    const bool known = config && offset + i < VIRTIO_BLK_CONFIG_SIZE;
    to[i] = known ? config.value().bytes[offset + i] : uint8_t{0xff};
  }
}

void RemoteDevice::write_config(unsigned offset, std::span<const uint8_t> from) {
  std::vector<uint8_t> message(sizeof(ConfigHead));
  const ConfigHead head{offset, static_cast<uint32_t>(from.size()), 0};
  std::memcpy(message.data(), &head, sizeof(head));
  message.insert(message.end(), from.begin(), from.end());
  MutexLock lock(mutex_);
  static_cast<void>(server_->send(SET_CONFIG, message, {}, true));
}

}  // namespace acrn
