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

BlockInfo NbdSource::info() const {
  BlockInfo info = info_;
  info.size = export_.size();
  return info;
}

Result<std::unique_ptr<BlockChannel>> NbdSource::open_channel(EventLoop& loop, unsigned) {
  return channels_.open(loop, [&](bool first) -> Result<std::unique_ptr<NbdConnection>> {
    if (first || export_.facts().can_share) return NbdConnection::open(export_, loop);
    return Error{ErrorKind::kUsage,
                 concat("virtio-blk ", export_.server().name,
                        ": the server takes one connection only, so all queues need one loop; give iothread=1")};
  });
}

Result<uint64_t> NbdSource::refresh_size() {
  const auto facts = inspect_nbd(export_.uri());
  if (!facts) return facts.error();
  if (facts.value().size != export_.size()) {
    export_.set_size(facts.value().size);
    channels_.for_each_connection([](NbdConnection& connection) { connection.renew(); });
  }
  return facts.value().size;
}

}  // namespace acrn
