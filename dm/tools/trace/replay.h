// The requests of a trace once more, to another disk: with a driver of ours, or by fio.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/loopback/legacy_driver.h"
#include "dm/tools/trace/trace_file.h"

namespace acrn {

// What the device asked of the disk. A list of segments is several of them.
struct TracedOperation {
  uint64_t time = 0;  // nanoseconds since the first one
  BlockOp op = BlockOp::kRead;
  uint64_t offset = 0, length = 0;  // bytes
};
std::vector<TracedOperation> operations_of(const Trace& trace);

// An iolog of fio, version 3, of `file`. Zeroes are writes, as fio has none.
std::string fio_log(const std::vector<TracedOperation>& operations, const std::string& file);

struct ReplayResult {
  uint64_t done = 0, failed = 0, skipped = 0;  // operations; skipped: the disk does not offer them
  double seconds = 0;
  std::vector<uint64_t> times;  // nanoseconds, of those that are done
};
// Through the driver's first queue, `speed` times as fast as they were; 0: each as soon as there is room. What is
// written is a pattern. Errors: kUsage: the disk is smaller than the trace's.
Result<ReplayResult> replay(const std::vector<TracedOperation>& operations, double speed, LegacyDriver& driver);

}  // namespace acrn
