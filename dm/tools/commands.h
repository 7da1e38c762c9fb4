// The commands of vblk. Each prints its own result and returns what went wrong, if anything did.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "dm/tools/bench/options.h"
#include "dm/tools/crash/options.h"
#include "dm/tools/monitor/options.h"
#include "dm/tools/session.h"
#include "dm/tools/trace/options.h"

namespace acrn {

struct RequestOptions {
  uint64_t sector = 0;            // 512-byte sectors
  std::optional<uint64_t> count;  // 512-byte sectors; absent: to the end of the disk, or of stdin
  bool unmap = true;              // zero: the range may be deallocated
  bool acknowledge = false;       // write: a line for each request that completed
};

Result<void> run_info(const SessionOptions& session, bool json);
Result<void> run_copy(const SessionOptions& session, bool verify, bool json);
Result<void> run_convert(const SessionOptions& session, bool verify, bool json);
Result<void> run_read(const SessionOptions& session, const RequestOptions& options);
Result<void> run_write(const SessionOptions& session, const RequestOptions& options);
Result<void> run_flush(const SessionOptions& session);
Result<void> run_discard(const SessionOptions& session, const RequestOptions& options);
Result<void> run_zero(const SessionOptions& session, const RequestOptions& options);
Result<void> run_bench(const SessionOptions& session, const BenchOptions& options);
Result<void> run_check(const SessionOptions& session, bool json);
Result<void> run_top(const TopOptions& options);
Result<void> run_report(const ReportOptions& options);
Result<void> run_trace(const SessionOptions& session, const TraceOptions& options);
Result<void> run_crash(const CrashOptions& options);
// `place`: a trace, or a control socket.
Result<void> run_coach(const std::string& place, bool json);

}  // namespace acrn
