#include "dm/devices/virtio_disk.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/host_cpus.h"
#include "dm/block/filters/throttle.h"
#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"
#include "dm/ident/disk_serial.h"

namespace acrn {

VirtioBlkOptions virtio_blk_options(const BlockOptions& options, const std::string& name, uint32_t poll_nanoseconds) {
  VirtioBlkOptions device{.name = name,
                          .queues = options.queues,
                          .queue_size = static_cast<uint16_t>(options.queue_size),
                          .segments = options.segments,
                          .read_only = options.read_only,
                          .writeback = options.writeback,
                          .logical_block = options.logical_sector,
                          .physical_block = options.physical_sector.value_or(0),
                          .discard = options.discard.has_value(),
                          .kick = options.kick,
                          .io_timeout = std::chrono::seconds(options.io_timeout),
                          .write_errors = options.write_errors,
                          .read_errors = options.read_errors,
                          .poll_nanoseconds = poll_nanoseconds};
  if (options.discard) {
    device.max_discard_sectors = options.discard->max_sectors;
    device.max_discard_segments = options.discard->max_segments;
    device.discard_alignment = options.discard->alignment;
  }
  return device;
}

// A loop on several CPUs would do with those that are there, without a word.
Result<void> check_iothreads(const BlockOptions& options) {
  for (const std::vector<unsigned>& cpus : options.iothread_cpus) {
    if (auto checked = check_host_cpus(cpus, "iothread"); !checked) return checked;
  }
  return {};
}

VirtioDisk::VirtioDisk(std::string slot, const BlockOptions& options, const VirtioEnvironment& environment)
    : slot_(std::move(slot)),
      options_(options),
      confine_recorder_(environment.confine_recorder),
      guest_errors_("virtio-blk " + slot_, environment.events),
      throttled_(find_throttle(environment.throttles, options)),
      source_(source_text(NoDisk{})) {}

Result<std::unique_ptr<VirtioDisk>> VirtioDisk::create(const std::string& slot, const BlockOptions& options,
                                                       const VirtioEnvironment& environment) {
  if (auto checked = check_iothreads(options); !checked) return checked.error();
  std::unique_ptr<VirtioDisk> disk(new VirtioDisk(slot, options, environment));
  auto loops = disk->make_loops(environment);
  if (!loops) return loops.error();
  VirtioBlkOptions blk = virtio_blk_options(options, "virtio-blk " + slot, environment.poll_nanoseconds);
  blk.events = environment.events;
  if (!options.trace.empty()) {
    auto trace = TraceRecorder::create(options.trace, options.queues);
    if (!trace) return trace.error();
    disk->trace_ = std::move(trace).value();
    blk.trace = &disk->trace_->trace();
    disk->guest_errors_.set_trace(blk.trace);
  }
  blk.serial = options.serial.value_or(disk_serial(no_disk(options, slot).identity));
  auto device = VirtioBlk::create(blk, environment.memory, disk->guest_errors_, std::move(loops).value());
  if (!device) return device.error();
  disk->taken_ = std::move(device).value();
  disk->device_ = disk->taken_.get();
  return std::unique_ptr<VirtioDisk>(std::move(disk));
}

// Without `iothread` several queues have a loop each, so that each vCPU can borrow its own (docs/adr/0031).
Result<std::vector<EventLoop*>> VirtioDisk::make_loops(const VirtioEnvironment& environment) {
  const unsigned wanted = options_.iothreads != 0 || options_.queues == 1 ? options_.iothreads : options_.queues;
  LoopOptions waiting = environment.queue_loop;
  waiting.start_late = true;  // with the first of its queues
  if (options_.poll) waiting.longest_poll = std::chrono::microseconds(*options_.poll);
  std::vector<EventLoop*> loops;
  for (unsigned i = 0; i < std::min(wanted, options_.queues); i++) {
    std::vector<unsigned> cpus;
    if (i < options_.iothread_cpus.size()) cpus = options_.iothread_cpus[i];
    auto loop = EpollLoop::create(concat("iothread", i, " ", slot_), cpus, waiting);
    if (!loop) return loop.error();
    iothreads_.push_back(std::move(loop).value());
    loops.push_back(iothreads_.back().get());
  }
  if (loops.empty()) loops.push_back(&environment.shared_loop);
  return loops;
}

Result<void> VirtioDisk::open() {
  if (!std::holds_alternative<NoDisk>(options_.source)) {
    if (auto attached = attach(options_); !attached) return attached;
  }
  return trace_ != nullptr ? start_trace() : Result<void>();
}

Result<void> VirtioDisk::start_trace() {
  TraceFileHeader header{};
  header.capacity = size() >> VIRTIO_BLK_SECTOR_SHIFT;
  header.logical_block = options_.logical_sector;
  std::array<uint8_t, 1> exponent{};
  device_->read_config(__builtin_offsetof(VirtioBlkConfig, physical_block_exp), exponent);
  header.physical_block = options_.logical_sector << exponent[0];
  header.queue_size = options_.queue_size;
  header.features = device_->features();
  const std::string disk = source();
  std::copy_n(slot_.begin(), std::min(slot_.size(), header.name.size()), header.name.begin());
  std::copy_n(disk.begin(), std::min(disk.size(), header.disk.size()), header.disk.begin());
  return trace_->start(header, confine_recorder_);
}

Result<void> VirtioDisk::set_trace(bool on) {
  if (trace_ == nullptr) {
    return usage_error(concat("trace ", slot_, ": it has no file for a trace; start it with trace=<file>"));
  }
  trace_->set(on);
  return {};
}

Result<void> VirtioDisk::attach(const BlockOptions& options) {
  auto opened = open_disk(options, slot_);
  if (!opened) return opened.error();
  const std::string serial = options.serial.value_or(disk_serial(opened.value().facts.identity));
  auto backend = make_filter_throttle(std::move(opened.value().backend), throttled_);
  if (auto attached = device_->attach(std::move(backend), serial); !attached) return attached;
  MutexLock lock(mutex_);
  source_ = source_text(options.source);
  log_ = std::move(opened.value().log);
  return {};
}

Result<void> VirtioDisk::mark(std::string_view text) {
  MutexLock lock(mutex_);
  const std::shared_ptr<WriteLog> log = log_;
  lock.unlock();
  return log != nullptr ? log->mark(text) : no_log(slot_);
}

std::string VirtioDisk::source() const {
  MutexLock lock(mutex_);
  return source_;
}

std::vector<QueueStats> VirtioDisk::stats() const {
  std::vector<QueueStats> stats;
  for (unsigned queue = 0; queue < device_->queue_count(); queue++) stats.push_back(device_->stats(queue));
  return stats;
}

Result<void> VirtioDisk::rescan(std::span<const std::string> disk, int file) {
  // Before it is opened: its locks would tell of a conflict with ourselves.
  if (device_->has_disk()) {
    return Error{ErrorKind::kUsage, concat("blkrescan ", slot_, ": it has a disk already (", source(),
                                           "), and one in use is not replaced")};
  }
  auto options = parse_rescan_options(disk, options_);
  if (!options) return Error{options.error().kind, concat("blkrescan ", slot_, ": ", options.error().message)};
  const DiskLimits& limits = options.value().limits;
  const bool new_limits = limits != options_.limits;
  if (new_limits && !options_.throttle_group.empty() && limits != throttled_.group().limits()) {
    return Error{ErrorKind::kUsage, concat("blkrescan ", slot_, ": throttle_group=", options_.throttle_group,
                                           " has other limits; change those of all its disks with limits")};
  }
  BlockSource& source = options.value().source;
  const bool is_sent = std::holds_alternative<SentFile>(source);
  if (is_sent != (file >= 0)) {
    return Error{ErrorKind::kUsage,
                 concat("blkrescan ", slot_, ": ",
                        is_sent ? "no descriptor came with the command; send one with its line (SCM_RIGHTS)"
                                : "a descriptor came with the command; give fd: as the path")};
  }
  if (is_sent) source = sent_file(file);
  if (auto attached = attach(options.value()); !attached) return attached;
  if (new_limits) throttled_.group().set(limits);
  return {};
}

}  // namespace acrn
