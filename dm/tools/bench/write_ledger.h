// WriteLedger: which blocks of the disk were written in this run, how often, and which are in flight. A block in
// flight belongs to one request, so what a read must find is known. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"

namespace acrn {

class WriteLedger {
 public:
  static constexpr uint64_t kMaxBlocks = uint64_t{64} << 20;  // 256 MiB of ledger

  // `block` in bytes. `run` tells the stamps of this run from those of others.
  static Result<std::unique_ptr<WriteLedger>> create(uint64_t blocks, uint32_t block, uint32_t run);

  struct Claim {
    uint64_t block = 0;
    uint32_t generation = 0;  // how often it was written; for a write: the new one
    bool known = false;       // it holds that generation
  };
  // The first block from `block` on that is not in flight. Fewer requests than blocks are in flight at any time.
  Claim claim(uint64_t block, bool to_write);
  // The claimed request is done. `known`: it is certain what the block holds now.
  void release(const Claim& claim, bool known);

  // A claimed block's contents, into and from a request's buffer. check() remembers the first mismatch.
  void fill(const Claim& claim, const GuestSlice& data) const;
  void check(const Claim& claim, const GuestSlice& data);
  // Before a read, so that a transfer that did not happen is no match with what the buffer held.
  void clear(const GuestSlice& data) const;
  // Jobs end when something was found to be wrong; the text has the offset.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }
  std::string failure() const;

 private:
  static constexpr size_t kSectorWords = 64;
  using Sector = uint64_t[kSectorWords];

  // In flight, known, and the generation in the other bits.
  static constexpr uint32_t kBusy = 1u << 31, kKnown = 1u << 30, kGeneration = kKnown - 1;

  WriteLedger(uint64_t blocks, uint32_t block, uint32_t run) : blocks_(blocks), block_(block), run_(run) {}
  void make(Sector& words, uint64_t offset, uint32_t generation) const;
  std::string difference(const Claim& claim, uint64_t offset, const Sector& expected, const Sector& found) const;

  const uint64_t blocks_;
  const uint32_t block_, run_;
  std::unique_ptr<std::atomic<uint32_t>[]> states_;
  std::atomic<bool> failed_{false};
  mutable Mutex mutex_;  // leaf
  std::string failure_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
