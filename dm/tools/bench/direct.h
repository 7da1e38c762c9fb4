// The other side of a benchmark: the pattern that the device gets, issued directly on the file beneath it, by preadv
// and pwritev2 or through an io_uring. Each job is a thread.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

#include "acrn/base/unique_fd.h"
#include "acrn/block/block_options.h"
#include "dm/tools/bench/jobs.h"
#include "dm/tools/bench/options.h"
#include "dm/tools/bench/pattern.h"

namespace acrn {

// The file as the device uses it: its cache mode, its window.
class DirectFile {
 public:
  // Errors name `option`, which needs the file.
  static Result<DirectFile> open(const BlockOptions& disk, std::string_view option);

  int fd() const { return file_.fd(); }
  int write_flags() const { return write_flags_; }  // of pwritev2
  uint64_t start() const { return start_; }         // bytes; the disk begins there
  // The file's pages leave the page cache, once they are written.
  Result<void> drop_pages() const;

 private:
  DirectFile() = default;
  UniqueFd file_;
  int write_flags_ = 0;
  uint64_t start_ = 0;
};

// A job's buffers, aligned for direct I/O, in huge pages where there are any. Data that is not all zeroes.
class DirectBuffers {
 public:
  static Result<DirectBuffers> create(unsigned count, uint32_t bytes);
  std::byte* operator[](size_t index) const { return memory_.get() + stride_ * index; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  DirectBuffers() = default;
  size_t stride_ = 0;
  std::unique_ptr<std::byte, Free> memory_;
};

// One job's round: `seconds` of the pattern at the depth of the options.
using DirectMethodRound = Result<void>(const DirectFile& file, const BenchOptions& options, BenchPattern pattern,
                                       double seconds, BenchRound& round);
DirectMethodRound run_direct_calls, run_direct_ring;

// One way to work on the first `bytes` of the file.
class DirectLoad {
 public:
  DirectLoad(DirectMethodRound& method, const DirectFile& file, const BenchOptions& options, uint64_t bytes,
             unsigned jobs)
      : method_(method), file_(file), options_(options), blocks_(bytes / options.block), jobs_(jobs) {}

  Result<BenchRound> run(double seconds, uint64_t seed, const BenchTick& tick) {
    return jobs_.run(
        [&](unsigned job, BenchRound& round) {
          const BenchPattern pattern(options_, blocks_, seed, job, jobs_.count());
          return method_(file_, options_, pattern, seconds, round);
        },
        tick);
  }

 private:
  DirectMethodRound& method_;
  const DirectFile& file_;
  const BenchOptions& options_;
  uint64_t blocks_;
  BenchJobs jobs_;
};

// Why this host gives us no io_uring; empty if it does.
std::string io_uring_refusal(unsigned depth);

}  // namespace acrn
