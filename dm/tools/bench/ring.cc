#include <algorithm>
#include <cerrno>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/io_ring.h"
#include "dm/tools/bench/direct.h"

namespace acrn {
namespace {

// Submitted together: nothing merges one by one, and all at once keeps the disk waiting for the last. Measured with
// O_DIRECT at depths 16 and 32: 1 loses 40 % of the sequential requests, 32 loses 20 % of the random ones.
constexpr unsigned kGroup = 8;

// A ring for the calling thread. Returns 0 or an errno.
int start_ring(IoRing& ring, unsigned depth) {
  // The second for kernels before Linux 6.1.
  return ring.start(depth, {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0});
}

class RingLoad {
 public:
  RingLoad(const DirectFile& file, const BenchOptions& options, BenchPattern pattern, BenchRound& round)
      : file_(file),
        options_(options),
        pattern_(pattern),
        round_(round),
        start_times_(options.depth),
        done_(options.depth) {}

  Result<void> run(double seconds) {
    auto buffers = DirectBuffers::create(options_.depth, options_.block);
    if (!buffers) return buffers.error();
    buffers_ = &buffers.value();
    if (const int error = start_ring(ring_, options_.depth); error != 0) return failed("io_uring", error);
    if (const int error = ring_.register_file(file_.fd()); error != 0) return failed("io_uring", error);
    const auto begin = BenchClock::now();
    const auto end = begin + bench_duration(seconds);
    for (unsigned tag = 0; tag < options_.depth; tag++) start(tag, begin);
    auto now = begin;
    while (in_flight_ > 0) {
      const int error = ring_.submit_and_wait(1);
      if (error != 0 && error != EINTR) return failed("io_uring_submit", error);
      now = BenchClock::now();
      if (!reap(now, now < end)) return failed("io_uring_submit", EIO);
    }
    round_.seconds = std::chrono::duration<double>(now - begin).count();
    return {};
  }

 private:
  static Error failed(const char* what, int error) {
    return {ErrorKind::kInternal, concat("--direct-baseline: ", what, ": ", errno_text(error))};
  }

  void start(unsigned tag, BenchClock::time_point now) {
    io_uring_sqe* const entry = ring_.next_entry();
    ACRN_CHECK(entry != nullptr);  // the ring holds `depth`, and each is in flight once
    const bool read = pattern_.next_is_read();
    const uint64_t offset = file_.start() + pattern_.next_block() * options_.block;
    if (read) {
      io_uring_prep_read(entry, 0, (*buffers_)[tag], options_.block, offset);
    } else {
      io_uring_prep_write(entry, 0, (*buffers_)[tag], options_.block, offset);
      entry->rw_flags = file_.write_flags();
    }
    entry->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(entry, tag);
    start_times_[tag] = now;
    in_flight_++;
  }

  bool reap(BenchClock::time_point now, bool again) {
    // What completes while these are started again waits for the next turn; the queue is twice as long as the depth.
    const std::span<io_uring_cqe*> done = ring_.peek(done_);
    for (size_t i = 0; i < done.size(); i++) {
      finish(*done[i], now);
      if (!again) continue;
      start(static_cast<unsigned>(done[i]->user_data), now);
      if ((i + 1) % kGroup == 0 && ring_.submit() != 0) return false;
    }
    ring_.release(done.size());
    return true;
  }

  void finish(const io_uring_cqe& done, BenchClock::time_point now) {
    in_flight_--;
    if (done.res == static_cast<int>(options_.block)) {
      round_.latency.add(static_cast<uint64_t>((now - start_times_[done.user_data]).count()));
    } else if (round_.errors++ == 0) {
      round_.first_error = done.res < 0 ? errno_text(-done.res) : concat("only ", done.res, " bytes");
    }
  }

  const DirectFile& file_;
  const BenchOptions& options_;
  BenchPattern pattern_;
  BenchRound& round_;
  std::vector<BenchClock::time_point> start_times_;
  std::vector<io_uring_cqe*> done_;
  const DirectBuffers* buffers_ = nullptr;
  IoRing ring_;
  unsigned in_flight_ = 0;
};

}  // namespace

Result<void> run_direct_ring(const DirectFile& file, const BenchOptions& options, BenchPattern pattern, double seconds,
                             BenchRound& round) {
  return RingLoad(file, options, pattern, round).run(seconds);
}

std::string io_uring_refusal(unsigned depth) {
  IoRing ring;
  const int error = start_ring(ring, depth);
  return error == 0 ? std::string() : errno_text(error);
}

}  // namespace acrn
