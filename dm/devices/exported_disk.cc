#include "dm/devices/exported_disk.h"

#include <latch>
#include <utility>
#include <variant>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/block/filters/kept_channels.h"
#include "dm/block/filters/throttle.h"
#include "dm/block/filters/write_log.h"
#include "dm/block/open.h"
#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"

namespace acrn {
namespace {

// Of a disk that can open none later: one for each client that a server has, and one for a flush.
constexpr unsigned kMostChannels = 17, kDepth = 64;

// A flush that somebody waits for.
class Flush final : public BlockRequest, private BlockSink {
 public:
  Flush() {
    op = BlockOp::kFlush;
    sink = this;
  }
  void wait() { done_.wait(); }

 private:
  void request_done(BlockRequest&) override { done_.count_down(); }
  void batch_done() override {}

  std::latch done_{1};
};

}  // namespace

Result<std::unique_ptr<BareDisk>> ExportedDisk::create(const std::string& slot, const BlockOptions& options,
                                                       EventLoop& loop, ThrottleGroups* throttles,
                                                       DeviceEvents* events) {
  if (!options.trace.empty()) {
    return usage_error(concat("trace=", options.trace, ": an export has no driver to trace; leave it out"));
  }
  auto opened = open_disk(options, slot);
  if (!opened) return opened.error();
  if (opened.value().backend == nullptr) {
    return Error{ErrorKind::kUsage, "nodisk: there is nothing to export; name a disk"};
  }
  std::unique_ptr<BlockBackend> backend = std::move(opened.value().backend);
  if (backend->info().needs_own_thread) {  // io_uring
    backend = make_kept_channels(std::move(backend), loop, kMostChannels, kDepth);
  }
  std::unique_ptr<ExportedDisk> disk(
      new ExportedDisk(slot, options, loop, std::move(backend), find_throttle(throttles, options), events));
  disk->log_ = std::move(opened.value().log);
  return std::unique_ptr<BareDisk>(std::move(disk));
}

ExportedDisk::ExportedDisk(const std::string& slot, const BlockOptions& options, EventLoop& loop,
                           std::unique_ptr<BlockBackend> backend, std::shared_ptr<ThrottleGroup> throttle,
                           DeviceEvents* events)
    : slot_(slot),
      options_(options),
      loop_(loop),
      events_(events),
      throttled_(std::move(throttle)),
      backend_(make_filter_throttle(std::move(backend), throttled_)),
      told_size_(size()) {
  // Others are asked over a network, which a loop does not wait for.
  if (std::holds_alternative<FilePath>(options.source)) map_ = open_disk_map(options);
  backend_->on_new_size([this] { (void)resize(); });  // errors are told when a request meets them
}

ExportedDisk::~ExportedDisk() { backend_->on_new_size({}); }

Result<uint64_t> ExportedDisk::resize() {
  auto size = backend_->refresh_size();
  if (size && told_size_.exchange(size.value()) != size.value() && events_ != nullptr) {
    events_->tell({DeviceEvent::Kind::kResized, "disk", ++size_changes_, size.value()});
  }
  return size;
}

std::string ExportedDisk::source() const { return source_text(options_.source); }

Result<void> ExportedDisk::rescan(std::span<const std::string>, int) {
  return Error{ErrorKind::kUsage,
               concat("blkrescan ", slot_, ": it has a disk already (", source(), "), and one in use is not replaced")};
}

Result<void> ExportedDisk::set_trace(bool) {
  return usage_error(concat("trace ", slot_, ": an export has no driver to trace"));
}

Result<void> ExportedDisk::mark(std::string_view text) { return log_ != nullptr ? log_->mark(text) : no_log(slot_); }

Result<void> ExportedDisk::flush() {
  if (options_.read_only) return {};
  Result<void> opened;
  std::unique_ptr<BlockChannel> channel;
  Flush flush;
  loop_.run([&] {
    auto made = backend_->open_channel(loop_, 1);
    if (!made) {
      opened = made.error();
      return;
    }
    channel = std::move(made).value();
    BlockRequest* const batch[] = {&flush};
    channel->submit(batch);
  });
  if (!opened) return opened;
  flush.wait();
  loop_.run([&] { channel.reset(); });
  if (flush.error == 0) return {};
  return Error{ErrorKind::kIo, concat("virtio-blk ", source(), ": flush: ", errno_text(flush.error))};
}

}  // namespace acrn
