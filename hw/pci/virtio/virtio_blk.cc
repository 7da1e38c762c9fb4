#include "hw/pci/virtio/virtio_blk.h"

#include <algorithm>
#include <bit>
#include <system_error>

namespace acrn {
namespace {

constexpr uint32_t kDefaultMaxDiscardSectors = 4u << 20;  // 2 GiB in one segment
constexpr uint32_t kDefaultMaxDiscardSegments = 32;
constexpr unsigned kWritebackOffset = __builtin_offsetof(VirtioBlkConfig, writeback);

// A geometry for guests that ask for one although GEOMETRY is not offered: the usual 255 heads of 63 sectors.
constexpr uint8_t kHeads = 255, kSectorsPerTrack = 63;

uint32_t or_default(uint32_t value, uint32_t fallback) { return value != 0 ? value : fallback; }

BlkSerial padded(std::string_view serial) {
  BlkSerial padded{};
  std::copy_n(serial.begin(), std::min(serial.size(), padded.size()), padded.begin());
  return padded;
}

}  // namespace

uint64_t virtio_blk_features(const VirtioBlkOptions& options) {
  uint64_t features = feature(VIRTIO_BLK_F_SEG_MAX) | feature(VIRTIO_BLK_F_BLK_SIZE) | feature(VIRTIO_BLK_F_TOPOLOGY) |
                      feature(VIRTIO_F_ANY_LAYOUT) | feature(VIRTIO_RING_F_INDIRECT_DESC) |
                      feature(VIRTIO_RING_F_EVENT_IDX);
  if (options.read_only) {
    features |= feature(VIRTIO_BLK_F_RO);
  } else {
    features |= feature(VIRTIO_BLK_F_FLUSH) | feature(VIRTIO_BLK_F_CONFIG_WCE);
    if (options.discard) features |= feature(VIRTIO_BLK_F_DISCARD) | feature(VIRTIO_BLK_F_WRITE_ZEROES);
  }
  if (options.queues > 1) features |= feature(VIRTIO_BLK_F_MQ);
  return features;
}

DiscardLimits virtio_blk_discard_limits(const VirtioBlkOptions& options, uint32_t granularity) {
  if (!options.discard || options.read_only) return {};
  return {.max_sectors = or_default(options.max_discard_sectors, kDefaultMaxDiscardSectors),
          .max_segments = or_default(options.max_discard_segments, kDefaultMaxDiscardSegments),
          .alignment = or_default(options.discard_alignment, granularity >> VIRTIO_BLK_SECTOR_SHIFT)};
}

VirtioBlk::VirtioBlk(const VirtioBlkOptions& options, const GuestMemory& memory, GuestErrors& guest_errors)
    : options_(options), features_(virtio_blk_features(options)), memory_(memory), guest_errors_(guest_errors) {
  state_.read_only = options.read_only;
  state_.writeback_option = options.writeback;
  state_.writeback = options.writeback;
  state_.kick = options.kick;
  state_.poll_nanoseconds = options.poll_nanoseconds;
  state_.io_timeout = options.io_timeout;
  state_.write_errors = options.write_errors;
  state_.read_errors = options.read_errors;
  state_.events = options.events;
  const DiscardLimits limits = virtio_blk_discard_limits(options, 0);
  state_.max_discard_sectors = limits.max_sectors;
  state_.max_discard_segments = limits.max_segments;
  MutexLock lock(mutex_);
  config_.seg_max = or_default(options.segments, options.queue_size - 2u);
  config_.blk_size = options.logical_block;
  config_.num_queues = static_cast<uint16_t>(options.queues);
  config_.max_discard_sectors = config_.max_write_zeroes_sectors = limits.max_sectors;
  config_.max_discard_seg = config_.max_write_zeroes_seg = limits.max_segments;
  config_.write_zeroes_may_unmap = limits.max_segments != 0 ? 1 : 0;
  describe_medium({.size = 0});
}

Result<std::unique_ptr<VirtioBlk>> VirtioBlk::create(const VirtioBlkOptions& options, const GuestMemory& memory,
                                                     GuestErrors& guest_errors, std::vector<EventLoop*> loops) {
  std::unique_ptr<VirtioBlk> device(new VirtioBlk(options, memory, guest_errors));
  for (unsigned i = 0; i < options.queues; i++) {
    auto queue = BlkQueue::create(i, options.queue_size, padded(options.serial), device->state_, guest_errors,
                                  *loops[i % loops.size()]);
    if (!queue) return queue.error();
    device->queues_.push_back(std::move(queue).value());
    if (options.trace != nullptr) device->queues_.back()->set_trace(*options.trace);
    device->drain_tasks_.emplace_back(*device->queues_.back());
  }
  return device;
}

VirtioBlk::~VirtioBlk() {
  if (backend_ != nullptr) backend_->on_new_size({});
  reset();
  on_queues([](BlkQueue& queue) { queue.close(); });
}

void VirtioBlk::on_queues(const std::function<void(BlkQueue&)>& task) {
  for (auto& queue : queues_) {
    queue->loop().run([&] { task(*queue); });
  }
}

Result<void> VirtioBlk::attach(std::unique_ptr<BlockBackend> backend, std::string_view serial) {
  {
    MutexLock lock(mutex_);
    if (attaching_ != nullptr || backend_ != nullptr) {
      return Error{ErrorKind::kUsage, options_.name + ": it has a disk already, and one in use is not replaced"};
    }
    attaching_ = backend.get();
  }
  tell_of_memory();
  Result<void> result;
  for (auto& queue : queues_) {
    if (result.ok() && backend->info().needs_own_thread) result = queue->loop().start();
  }
  on_queues([&](BlkQueue& queue) {
    if (result.ok()) result = queue.open_channel(*backend);
  });
  on_queues([&](BlkQueue& queue) { result.ok() ? queue.use_channel(padded(serial)) : queue.drop_channel(); });
  MutexLock lock(mutex_);
  attaching_ = nullptr;
  if (!result.ok()) return result;
  backend_ = std::move(backend);
  describe_medium(backend_->info());
  lock.unlock();
  notify_config_change();
  backend_->on_new_size([this] { (void)resize(); });  // errors are told when a request meets them
  return {};
}

bool VirtioBlk::has_disk() const {
  MutexLock lock(mutex_);
  return attaching_ != nullptr || backend_ != nullptr;
}

Result<uint64_t> VirtioBlk::resize() {
  MutexLock lock(mutex_);
  if (backend_ == nullptr) return Error{ErrorKind::kUsage, options_.name + ": there is no disk to resize"};
  lock.unlock();
  auto size = backend_->refresh_size();
  lock.lock();
  if (size.ok()) describe_medium(backend_->info());
  lock.unlock();
  if (size.ok()) notify_config_change();
  return size;
}

Result<void> VirtioBlk::flush() {
  if (options_.read_only) return {};
  BlkQueue* const any = last_started_;  // a flush is for the whole disk, also for what came through other queues
  if (any == nullptr) return {};
  BlkQueue& queue = *any;
  ACRN_CHECK(!queue.loop().is_current());
  std::latch flushed(1);
  int error = 0;
  LoopTaskOf task([&] {
    queue.flush_disk([&](int result) {
      error = result;
      flushed.count_down();
    });
  });
  queue.loop().enqueue(task);
  flushed.wait();
  if (error == 0) return {};
  return Error{
      ErrorKind::kIo,
      concat(options_.name, ": what was written could not be made stable: ", std::generic_category().message(error))};
}

void VirtioBlk::retry_held() {
  on_queues([](BlkQueue& queue) { queue.retry_held(); });
}

void VirtioBlk::describe_medium(const BlockInfo& info) {
  const uint64_t sectors = info.size >> VIRTIO_BLK_SECTOR_SHIFT;
  const uint32_t physical = std::max(or_default(options_.physical_block, info.physical_block), options_.logical_block);
  config_.capacity = sectors;
  config_.cylinders = static_cast<uint16_t>(std::min<uint64_t>(sectors / (kHeads * kSectorsPerTrack), 0xffff));
  config_.heads = kHeads;
  config_.sectors = kSectorsPerTrack;
  config_.physical_block_exp = static_cast<uint8_t>(std::countr_zero(physical / options_.logical_block));
  config_.min_io_size = static_cast<uint16_t>(std::min(physical / options_.logical_block, 0xffffu));
  config_.discard_sector_alignment = virtio_blk_discard_limits(options_, info.discard_granularity).alignment;
  state_.capacity = sectors;
}

void VirtioBlk::notify_config_change() {
  const uint64_t bytes = capacity();
  if (options_.events != nullptr && told_capacity_.exchange(bytes) != bytes) {
    options_.events->tell({DeviceEvent::Kind::kResized, "disk", ++capacity_changes_, bytes});
  }
  if (VirtioInterruptSink* sink = interrupts_.load(); sink != nullptr) sink->config_interrupt();
}

void VirtioBlk::connect(VirtioInterruptSink& sink) {
  interrupts_ = &sink;
  for (auto& queue : queues_) queue->connect(sink);
}

template <class... Parts>
void VirtioBlk::trace(TraceEvent event, uint8_t detail, unsigned head, unsigned number, const Parts&... parts) {
  if (options_.trace == nullptr) return;
  options_.trace->write(event, detail, static_cast<uint16_t>(head), static_cast<uint16_t>(number), parts...);
}

void VirtioBlk::set_features(uint64_t accepted) {
  trace(TraceEvent::kFeatures, 0, 0, 0, TraceValue{accepted, 0});
  const uint64_t before = state_.accepted.exchange(accepted & features_);
  // One without FLUSH could never flush (virtio 1.2 5.2.5.2); the next driver, after firmware perhaps, may.
  if ((accepted & feature(VIRTIO_BLK_F_FLUSH)) == 0) {
    state_.writeback = false;
  } else if ((before & feature(VIRTIO_BLK_F_FLUSH)) == 0) {
    state_.writeback = options_.writeback;
  }
}

bool VirtioBlk::start_queue(unsigned index, const QueueSetup& setup) {
  BlkQueue& queue = *queues_[index];
  if (auto thread = queue.loop().start(); !thread) {
    log(LogLevel::kWarning, concat(options_.name, ": queue ", index, " does not start: ", thread.error().message));
    return false;
  }
  last_started_ = &queue;
  bool started = false;
  queue.loop().run([&] { started = queue.start(memory_.map(), setup); });
  trace(TraceEvent::kQueueStart, started ? 0 : 1, index, setup.size,
        TraceQueue{raw(setup.ring.desc), raw(setup.ring.avail), raw(setup.ring.used), setup.next_avail});
  return started;
}

uint16_t VirtioBlk::stop_queue(unsigned index) {
  drain({&drain_tasks_[index], 1}, &BlkQueue::stop);
  const uint16_t next = queues_[index]->next_index();
  trace(TraceEvent::kQueueStop, 0, index, next);
  return next;
}

// All of them at the same time.
void VirtioBlk::drain(std::span<DrainTask> queues, DrainTask::Drain call) {
  std::latch drained(static_cast<ptrdiff_t>(queues.size()));
  for (DrainTask& queue : queues) queue.post(call, drained);
  drained.wait();
}

void VirtioBlk::suspend() {
  drain(drain_tasks_, &BlkQueue::suspend);
  trace(TraceEvent::kSuspend, 0, 0, 0);
}

// No queue has a request with data. The mutex orders those who find a new map while a disk is being attached.
void VirtioBlk::tell_of_memory() {
  MutexLock lock(mutex_);
  if (BlockBackend* const disk = attaching_ != nullptr ? attaching_ : backend_.get()) disk->use_memory(memory_.map());
}

void VirtioBlk::resume() {
  trace(TraceEvent::kResume, 0, 0, 0);
  tell_of_memory();
  on_queues([map = memory_.map()](BlkQueue& queue) { queue.resume(map); });
}

void VirtioBlk::end_queues(DrainTask::Drain call) {
  drain(drain_tasks_, call);
  trace(TraceEvent::kReset, 0, 0, 0);
  state_.accepted = 0;
  state_.writeback = options_.writeback;
  MutexLock lock(mutex_);
  capacity_seen_.reset();
}

void VirtioBlk::read_config(unsigned offset, std::span<uint8_t> to) {
  MutexLock lock(mutex_);
  config_.writeback = state_.writeback ? 1 : 0;
  for (size_t i = 0; i < to.size(); i++) {
    const size_t at = offset + i;
    // SAFETY: VirtioBlkConfig is made of bytes and Le integers, and `at` lies inside it.
    to[i] = at < VIRTIO_BLK_CONFIG_SIZE ? reinterpret_cast<const uint8_t*>(&config_)[at] : 0xff;
  }
  if (offset < sizeof(config_.capacity)) capacity_seen_.read(offset, to, config_.capacity);
}

void VirtioBlk::write_config(unsigned offset, std::span<const uint8_t> from) {
  for (const uint8_t byte : from) {
    const unsigned at = offset++;
    trace(TraceEvent::kConfigWrite, 0, 0, at, TraceValue{byte, 0});
    if (at != kWritebackOffset) {
      guest_errors_.record(GuestRule::kConfigReadOnly, at);
    } else if ((state_.accepted & feature(VIRTIO_BLK_F_CONFIG_WCE)) == 0) {
      guest_errors_.record(GuestRule::kWceNotAccepted, byte);
    } else {
      state_.writeback = byte != 0;
    }
  }
}

}  // namespace acrn
