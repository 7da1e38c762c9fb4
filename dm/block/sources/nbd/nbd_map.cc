#include "dm/block/sources/nbd/nbd_map.h"

#include <algorithm>
#include <utility>

#include "acrn/base/round.h"
#include "dm/block/sources/nbd/nbd_handle.h"
#include "dm/block/sources/server_requests.h"

namespace acrn {
namespace {

constexpr uint64_t kMostAsked = 1 << 30;  // bytes: a length has 32 bits

class NbdMap final : public DiskMap {
 public:
  NbdMap(NbdHandle handle, const NbdFacts& facts) : handle_(std::move(handle)), facts_(facts) {}

  Extent extent_at(uint64_t offset) override {
    if (silent_ || offset >= facts_.size) return kUnknown;
    const uint64_t start = round_down(offset, facts_.least), passed = offset - start;
    const auto status = ask_status(handle_.get(), start, std::min(facts_.size - start, kMostAsked), kNbdPatience);
    silent_ = !status;
    if (!status || status->bytes <= passed) return kUnknown;
    return {std::min(status->bytes - passed, facts_.size - offset), status->zeroes};
  }

 private:
  const NbdHandle handle_;
  const NbdFacts facts_;
  bool silent_ = false;  // it did not answer, and is not asked again
};

}  // namespace

std::unique_ptr<DiskMap> open_nbd_map(const std::string& uri) {
  auto made = connect_nbd_for_status(uri, kNbdPatience);
  if (!made) return nullptr;
  const NbdFacts facts = facts_of(made.value().get());
  const bool tells = nbd_can_meta_context(made.value().get(), LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
  if (!facts.can_share || !tells) return nullptr;
  return std::make_unique<NbdMap>(std::move(made).value(), facts);
}

}  // namespace acrn
