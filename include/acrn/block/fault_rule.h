// What a disk is to do wrong on purpose, for people who test what lives on it: `fault=` of a slot, parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "acrn/block/blockif.h"

namespace acrn {

// The first rule that matches a request decides; a rule that has passed a request over or is used up does not match.
struct FaultRule {
  // kError: it is not carried out. kShort: half of it is, and it fails. kDelay: it is carried out later.
  enum class Fault : uint8_t { kError, kShort, kDelay };

  std::optional<BlockOp> op;  // absent: any
  Fault fault = Fault::kError;
  int error = 0;                          // of kError and kShort
  uint64_t delay = 0;                     // microseconds, of kDelay
  uint64_t first = 0, last = UINT64_MAX;  // 512-byte sectors; a request that touches one of them
  uint64_t skip = 0;                      // so many pass first
  std::optional<uint64_t> times;          // and so many are hit; absent: all
  double chance = 100;                    // percent of those
  uint64_t seed = 1;                      // of the chance
  bool operator==(const FaultRule&) const = default;
};

struct FaultRules {
  std::string text;  // as the user wrote it; empty: there are none
  std::vector<FaultRule> rules;
  bool operator==(const FaultRules&) const = default;
};

}  // namespace acrn
