#include "dm/block/sources/ram_disk.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "dm/base/errno_text.h"
#include "dm/block/engines/inline_transfers.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

class RamDisk final : public BlockBackend {
 public:
  RamDisk(std::byte* bytes, const BlockInfo& info) : bytes_(bytes), info_(info) {}
  ~RamDisk() override { ::munmap(bytes_, info_.size); }

  BlockInfo info() const override { return info_; }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override { return info_.size; }

  // Returns 0 or an errno. Two requests at once on the same bytes are the guest's race, as on any disk.
  int execute(const BlockRequest& request) {
    if (request.op == BlockOp::kFlush) return 0;
    if (!request.is_inside(info_.size)) return EINVAL;
    if (request.op == BlockOp::kRead) return copy(request);
    if (info_.read_only) return EROFS;
    switch (request.op) {
      case BlockOp::kWrite: return copy(request);
      case BlockOp::kDiscard: free_pages(whole_pages(request)); return 0;  // a hint
      default: return write_zeroes(request);
    }
  }

 private:
  struct Pages {
    uint64_t begin, end;
  };  // bytes

  Pages whole_pages(const BlockRequest& request) const {
    const Pages pages{round_up(request.offset, kRamDiskGranularity),
                      round_down(request.offset + request.length, kRamDiskGranularity)};
    return pages.begin < pages.end ? pages : Pages{request.offset, request.offset};
  }
  // Private anonymous pages read as zeroes after this.
  int free_pages(const Pages& pages) {
    if (pages.begin == pages.end) return 0;
    return ::madvise(bytes_ + pages.begin, pages.end - pages.begin, MADV_DONTNEED) == 0 ? 0 : errno;
  }
  int write_zeroes(const BlockRequest& request) {
    Pages freed = whole_pages(request);
    if (!request.may_unmap || free_pages(freed) != 0) freed = {request.offset, request.offset};
    std::memset(bytes_ + request.offset, 0, freed.begin - request.offset);
    std::memset(bytes_ + freed.end, 0, request.offset + request.length - freed.end);
    return 0;
  }
  int copy(const BlockRequest& request) {
    std::byte* at = bytes_ + request.offset;
    for (const iovec& piece : request.iov) {
      if (piece.iov_len == 0) continue;
      request.op == BlockOp::kRead ? std::memcpy(piece.iov_base, at, piece.iov_len)
                                   : std::memcpy(at, piece.iov_base, piece.iov_len);
      at += piece.iov_len;
    }
    return 0;
  }

  std::byte* const bytes_;
  const BlockInfo info_;
};

// What is long is done later and one by one, so that neither a kicking thread nor the loop's other queues wait for it
// all.
class RamChannel final : public BlockChannel {
 public:
  explicit RamChannel(RamDisk& disk) : disk_(disk) {}
  ~RamChannel() override {
    while (!long_ones_.empty()) do_long_one();
  }
  Result<void> listen(EventLoop& loop) {
    auto notifier = loop.make_notifier([this] { do_long_one(); });
    if (!notifier) return notifier.error();
    later_ = std::move(notifier).value();
    return {};
  }

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) {
      if (request.length > InlineTransfers::kMostBorrowed) return postpone(request);
      request.error = disk_.execute(request);
      request.sink->request_done(request);
    });
  }

 private:
  void postpone(BlockRequest& request) {
    if (long_ones_.empty()) later_->notify();
    long_ones_.push(request);
  }
  void do_long_one() {
    BlockRequest* const request = long_ones_.pop();
    if (request == nullptr) return;
    if (!long_ones_.empty()) later_->notify();
    request->error = disk_.execute(*request);
    SinkGroup group;
    group.done(*request);
    group.end();
  }

  RamDisk& disk_;
  std::unique_ptr<Notifier> later_;
  SubmitQueue incoming_;
  RequestFifo long_ones_;
};

Result<std::unique_ptr<BlockChannel>> RamDisk::open_channel(EventLoop& loop, unsigned) {
  auto channel = std::make_unique<RamChannel>(*this);
  if (auto listening = channel->listen(loop); !listening) return listening.error();
  return std::unique_ptr<BlockChannel>(std::move(channel));
}

}  // namespace

Result<std::unique_ptr<BlockBackend>> make_ram_disk(const BlockInfo& info) {
  void* const bytes =
      ::mmap(nullptr, info.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) {
    return Error{ErrorKind::kNoInput, concat("virtio-blk ram:", info.size, ": no such memory: ", errno_text(errno))};
  }
  // SAFETY: mmap's result is the bytes of a fresh mapping.
  return std::unique_ptr<BlockBackend>(std::make_unique<RamDisk>(static_cast<std::byte*>(bytes), info));
}

}  // namespace acrn
