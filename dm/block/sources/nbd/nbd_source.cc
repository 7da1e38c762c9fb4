#include "dm/block/sources/nbd/nbd_source.h"

#include <utility>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr uint32_t kMostUnit = 64 << 10;  // bytes

}  // namespace

Result<NbdFacts> inspect_nbd(const std::string& uri, std::chrono::milliseconds patience) {
  auto handle = connect_nbd(uri, patience);
  if (!handle) return handle.error();
  const NbdFacts facts = facts_of(handle.value().get());
  nbd_aio_disconnect(handle.value().get(), 0);
  if (facts.least <= kMostUnit && facts.most_payload >= facts.least) return facts;
  return Error{ErrorKind::kNoInput,
               concat("virtio-blk ", uri, ": the server wants requests of ", facts.least, " to ", facts.most_payload,
                      " bytes, and units of more than ", kMostUnit, " are not served")};
}

class NbdSource::Channel final : public BlockChannel {
 public:
  Channel(NbdSource& source, EventLoop& loop, NbdConnection& connection)
      : source_(source), loop_(loop), connection_(connection) {}
  ~Channel() override { source_.close_channel(loop_); }
  void submit(std::span<BlockRequest* const> batch) override { connection_.submit(batch); }

 private:
  NbdSource& source_;
  EventLoop& loop_;
  NbdConnection& connection_;
};

BlockInfo NbdSource::info() const {
  BlockInfo info = info_;
  info.size = export_.size();
  return info;
}

Result<std::unique_ptr<BlockChannel>> NbdSource::open_channel(EventLoop& loop, unsigned) {
  NbdConnection* connection = nullptr;
  bool alone = true;
  {
    MutexLock lock(mutex_);
    alone = by_loop_.empty();
    if (const auto found = by_loop_.find(&loop); found != by_loop_.end()) {
      found->second.channels++;
      connection = found->second.connection.get();
    }
  }
  if (connection == nullptr) {
    if (!alone && !export_.facts().can_share) {
      return Error{ErrorKind::kUsage,
                   concat("virtio-blk ", export_.server().name,
                          ": the server takes one connection only, so all queues need one loop; give iothread=1")};
    }
    auto made = NbdConnection::open(export_, loop);
    if (!made) return made.error();
    MutexLock lock(mutex_);
    Shared& shared = by_loop_[&loop];  // loops open their channels one after the other
    shared = {std::move(made).value(), 1};
    connection = shared.connection.get();
  }
  return std::unique_ptr<BlockChannel>(std::make_unique<Channel>(*this, loop, *connection));
}

void NbdSource::close_channel(EventLoop& loop) {
  std::unique_ptr<NbdConnection> last;
  MutexLock lock(mutex_);
  const auto found = by_loop_.find(&loop);
  if (--found->second.channels != 0) return;
  last = std::move(found->second.connection);
  by_loop_.erase(found);
}

Result<uint64_t> NbdSource::refresh_size() {
  const auto facts = inspect_nbd(export_.uri());
  if (!facts) return facts.error();
  if (facts.value().size != export_.size()) {
    export_.set_size(facts.value().size);
    MutexLock lock(mutex_);
    for (const auto& [loop, shared] : by_loop_) shared.connection->renew();
  }
  return facts.value().size;
}

}  // namespace acrn
