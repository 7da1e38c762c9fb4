#include "dm/tools/bench/write_ledger.h"

#include <cstring>
#include <new>
#include <span>

#include "acrn/base/concat.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {
namespace {

constexpr uint64_t kMagic = 0x3176'6b6c'6276'7473;

// The words of a sector's stamp; the others follow from them.
enum Word : size_t { kMagicWord, kOffsetWord, kWriteWord, kChecksumWord, kFirstFilling };

uint64_t checksum(std::span<const uint64_t> words) {
  uint64_t sum = kMagic;
  for (size_t i = 0; i < words.size(); i++) {
    if (i == kChecksumWord) continue;
    sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<WriteLedger>> WriteLedger::create(uint64_t blocks, uint32_t block, uint32_t run) {
  if (blocks > kMaxBlocks) {
    return Error{ErrorKind::kUsage, concat("--verify: ", blocks, " blocks to keep track of, at most ", kMaxBlocks,
                                           "; give a --size of at most ", kMaxBlocks * block, " or a larger --bs")};
  }
  std::unique_ptr<WriteLedger> ledger(new WriteLedger(blocks, block, run));
  ledger->states_.reset(new (std::nothrow) std::atomic<uint32_t>[blocks]());
  if (!ledger->states_) return Error{ErrorKind::kInternal, "--verify: out of memory"};
  return ledger;
}

WriteLedger::Claim WriteLedger::claim(uint64_t block, bool to_write) {
  for (;; block = block + 1 == blocks_ ? 0 : block + 1) {
    const uint32_t state = states_[block].fetch_or(kBusy, std::memory_order_acquire);  // pairs with release()
    if ((state & kBusy) != 0) continue;
    const uint32_t generation = (state & kGeneration) + (to_write ? 1 : 0);
    return {block, generation & kGeneration, (state & kKnown) != 0};
  }
}

void WriteLedger::release(const Claim& claim, bool known) {
  // pairs with claim(): the next request of the block sees what became of it
  states_[claim.block].store(claim.generation | (known ? kKnown : 0), std::memory_order_release);
}

void WriteLedger::make(Sector& words, uint64_t offset, uint32_t generation) const {
  words[kMagicWord] = kMagic;
  words[kOffsetWord] = offset;
  words[kWriteWord] = uint64_t{run_} << 32 | generation;
  uint64_t filling = offset ^ words[kWriteWord] * 0xbf58476d1ce4e5b9;
  for (size_t i = kFirstFilling; i < kSectorWords; i++) words[i] = filling += 0x9e3779b97f4a7c15;
  words[kChecksumWord] = checksum(words);
}

void WriteLedger::fill(const Claim& claim, const GuestSlice& data) const {
  Sector words;
  for (uint32_t at = 0; at < block_; at += VIRTIO_BLK_SECTOR_SIZE) {
    make(words, claim.block * block_ + at, claim.generation);
    data.copy_in(at, words, sizeof(words));
  }
}

void WriteLedger::clear(const GuestSlice& data) const {
  const Sector zeroes{};
  for (uint32_t at = 0; at < block_; at += VIRTIO_BLK_SECTOR_SIZE) data.copy_in(at, zeroes, sizeof(zeroes));
}

void WriteLedger::check(const Claim& claim, const GuestSlice& data) {
  Sector expected, found;
  for (uint32_t at = 0; at < block_; at += VIRTIO_BLK_SECTOR_SIZE) {
    const uint64_t offset = claim.block * block_ + at;
    make(expected, offset, claim.generation);
    data.copy_out(at, found, sizeof(found));
    if (std::memcmp(expected, found, sizeof(found)) == 0) continue;
    MutexLock lock(mutex_);
    if (failure_.empty()) failure_ = difference(claim, offset, expected, found);
    failed_ = true;
    return;
  }
}

std::string WriteLedger::difference(const Claim& claim, uint64_t offset, const Sector& expected,
                                    const Sector& found) const {
  const std::string where = concat("verify: offset ", offset, ": ");
  if (found[kMagicWord] == kMagic && found[kChecksumWord] == checksum(found)) {
    const auto generation = static_cast<uint32_t>(found[kWriteWord]);
    if (found[kWriteWord] >> 32 != run_) return where + "a write was lost, what an earlier run left is there";
    if (found[kOffsetWord] != offset)
      return where + concat("what was written to offset ", found[kOffsetWord], " is there");
    return where + concat("write ", claim.generation, " of this block was lost, write ", generation, " is there");
  }
  size_t word = 0, different = 0;
  for (size_t i = kSectorWords; i-- > 0;) {
    if (expected[i] != found[i]) word = i, different++;
  }
  return where + concat("not what was written there: ", different, " of 64 words differ, the first at offset ",
                        offset + word * sizeof(uint64_t), " is ", hex(found[word]), " instead of ",
                        hex(expected[word]));
}

std::string WriteLedger::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace acrn
