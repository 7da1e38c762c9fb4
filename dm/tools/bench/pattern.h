// BenchPattern: which blocks a job asks for, and in which direction. The same sequence for the device and for the file
// beneath it, given the same seed. One thread.
#pragma once

#include <cstdint>

#include "dm/tools/bench/options.h"

namespace acrn {

class BenchPattern {
 public:
  // Of `job` of `jobs`, over `blocks` blocks. A sequential job goes through its own part of them, again and again.
  BenchPattern(const BenchOptions& options, uint64_t blocks, uint64_t seed, unsigned job, unsigned jobs)
      : random_(options.random),
        read_percent_(options.read_percent),
        blocks_(blocks),
        first_(blocks * job / jobs),
        end_(blocks * (job + 1) / jobs),
        next_(first_),
        state_((seed * 0x9e3779b97f4a7c15 + job + 1) * 0xbf58476d1ce4e5b9 | 1) {
    if (end_ == first_) end_ = first_ + 1;  // more jobs than blocks
  }

  uint64_t next_block() {
    if (random_) return draw() % blocks_;
    const uint64_t block = next_;
    next_ = next_ + 1 == end_ ? first_ : next_ + 1;
    return block;
  }
  bool next_is_read() { return read_percent_ == 100 || (read_percent_ != 0 && draw() % 100 < read_percent_); }

 private:
  uint64_t draw() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1d) >> 16;
  }

  bool random_;
  unsigned read_percent_;
  uint64_t blocks_, first_, end_, next_, state_;
};

}  // namespace acrn
