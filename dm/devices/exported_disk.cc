#include "dm/devices/exported_disk.h"

#include <latch>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/block/filters/kept_channels.h"
#include "dm/block/open.h"
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
                                                       EventLoop& loop, ThrottleGroups* throttles) {
  auto opened = open_disk(options, slot);
  if (!opened) return opened.error();
  if (opened.value().backend == nullptr) {
    return Error{ErrorKind::kUsage, "nodisk: there is nothing to export; name a disk"};
  }
  std::unique_ptr<BlockBackend> backend = std::move(opened.value().backend);
  if (backend->info().needs_own_thread) {  // io_uring
    backend = make_kept_channels(std::move(backend), loop, kMostChannels, kDepth);
  }
  return std::unique_ptr<BareDisk>(
      new ExportedDisk(slot, options, loop, std::move(backend), find_throttle(throttles, options)));
}

std::string ExportedDisk::source() const { return source_text(options_.source); }

Result<void> ExportedDisk::rescan(std::span<const std::string>, int) {
  return Error{ErrorKind::kUsage,
               concat("blkrescan ", slot_, ": it has a disk already (", source(), "), and one in use is not replaced")};
}

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
