// What `vblk bench` was asked for: text to BenchOptions. Pure; nothing is opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

// How the file beneath the disk is driven for comparison.
enum class DirectMethod : uint8_t { kNone, kPreadv, kIoUring, kBest };

struct BenchOptions {
  bool random = true;
  unsigned read_percent = 100;   // 100 and 0: one direction only
  uint32_t block = 4096;         // bytes
  unsigned depth = 16;           // per job
  std::optional<unsigned> jobs;  // absent: one per queue
  std::optional<uint64_t> size;  // bytes from the start of the disk; absent: all
  double seconds = 5, ramp = 0;  // of the device, and of each direct method
  bool verify = false;
  bool cold = false;  // the file leaves the page cache before each round
  bool time_kicks = false;
  DirectMethod direct = DirectMethod::kNone;
  uint64_t seed = 1;
  bool json = false;
  std::string rw = "randread";  // as it was given

  bool writes() const { return read_percent < 100; }
};

// The values of the options as they were given, and their defaults.
struct BenchText {
  std::string rw = "randread", read_percent = "50", block = "4k", depth = "16", jobs, size, seconds = "5", ramp = "0",
              direct, seed = "1";
  bool verify = false, cold = false, time_kicks = false, json = false;
};

// Errors are kUsage and name the option, its value and what would be right.
Result<BenchOptions> parse_bench_options(const BenchText& text);

}  // namespace acrn
