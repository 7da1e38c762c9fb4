// DeviceLoad: the device's side of a benchmark. One queue of the driver for each job, kept full for a while.
#pragma once

#include "dm/loopback/legacy_driver.h"
#include "dm/tools/bench/jobs.h"
#include "dm/tools/bench/options.h"
#include "dm/tools/bench/write_ledger.h"

namespace acrn {

class DeviceLoad {
 public:
  // Works on the first `bytes` of the disk with `jobs` of the driver's queues. `ledger`, if any: every write gets a
  // stamp, and reads of blocks with one are checked.
  DeviceLoad(LegacyDriver& driver, const BenchOptions& options, uint64_t bytes, unsigned jobs, WriteLedger* ledger);

  // A mismatch ends the round; the ledger has it.
  Result<BenchRound> run(double seconds, uint64_t seed, const BenchTick& tick);
  // Every block that was written, once.
  Result<BenchRound> read_back(const BenchTick& tick);

 private:
  LegacyDriver& driver_;
  const BenchOptions& options_;
  uint64_t blocks_;
  WriteLedger* ledger_;
  BenchJobs jobs_;
};

}  // namespace acrn
