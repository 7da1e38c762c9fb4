#include "dm/tools/trace/replay.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/progress.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kLongestSleep{50'000};  // while there are requests in flight

// One run: what is in flight, and when the next is due.
class Replay {
 public:
  Replay(const std::vector<TracedOperation>& operations, double speed, LegacyDriver& driver)
      : operations_(operations),
        speed_(speed),
        driver_(driver),
        queue_(driver.queue(0)),
        started_(queue_.depth()),
        progress_("replay", operations.size()) {
    for (unsigned tag = 0; tag < queue_.depth(); tag++) free_.push_back(static_cast<uint16_t>(tag));
    result_.times.reserve(operations.size());
  }

  Result<ReplayResult> run() {
    const auto begin = Clock::now();
    while (next_ < operations_.size() || free_.size() < queue_.depth()) {
      if (!reap()) return Error{ErrorKind::kInternal, "replay: the device does not answer"};
      const auto now = Clock::now();
      bool started = false;
      while (next_ < operations_.size() && !free_.empty() && due(begin) <= now) {
        start(operations_[next_++], now);
        started = true;
      }
      if (started) queue_.kick();
      wait(begin);
      progress_.show(next_, "");
    }
    result_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return std::move(result_);
  }

 private:
  Clock::time_point due(Clock::time_point begin) const {
    if (speed_ == 0) return begin;
    const double nanoseconds = static_cast<double>(operations_[next_].time) / speed_;
    return begin + std::chrono::nanoseconds(static_cast<int64_t>(nanoseconds));
  }

  void start(const TracedOperation& operation, Clock::time_point now) {
    const bool segment = operation.op == BlockOp::kDiscard || operation.op == BlockOp::kWriteZeroes;
    if (segment &&
        !driver_.accepted(operation.op == BlockOp::kDiscard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES)) {
      result_.skipped++;
      return;
    }
    const uint16_t tag = free_.back();
    free_.pop_back();
    started_[tag] = now;
    const uint64_t sector = operation.offset / VIRTIO_BLK_SECTOR_SIZE;
    const auto bytes = static_cast<uint32_t>(operation.length);
    switch (operation.op) {
      case BlockOp::kRead: return queue_.start(tag, VIRTIO_BLK_T_IN, sector, bytes, false);
      case BlockOp::kWrite: return queue_.start(tag, VIRTIO_BLK_T_OUT, sector, bytes, true);
      case BlockOp::kFlush: return queue_.start(tag, VIRTIO_BLK_T_FLUSH, 0, 0, true);
      case BlockOp::kDiscard:
      case BlockOp::kWriteZeroes: break;
    }
    const VirtioBlkDiscardWriteZeroes range{sector, static_cast<uint32_t>(operation.length / VIRTIO_BLK_SECTOR_SIZE),
                                            0};
    queue_.data(tag).copy_in(0, &range, sizeof(range));
    queue_.start(tag, operation.op == BlockOp::kDiscard ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES, 0,
                 sizeof(range), true);
  }

  // Waits for an answer if there is no room, or nothing else to do.
  bool reap() {
    if (free_.size() == queue_.depth()) return true;
    const bool wait = free_.empty() || next_ == operations_.size() || speed_ == 0;
    const auto finish = [this](const DriverCompletion& done) {
      const auto time = Clock::now() - started_[done.tag];
      done.status == VIRTIO_BLK_S_OK ? result_.done++ : result_.failed++;
      if (done.status == VIRTIO_BLK_S_OK) result_.times.push_back(static_cast<uint64_t>(time.count()));
      free_.push_back(done.tag);
    };
    return wait ? queue_.reap(finish) : queue_.look(finish);
  }

  // Until the next one is due.
  void wait(Clock::time_point begin) {
    if (next_ == operations_.size() || free_.empty() || speed_ == 0) return;
    auto left = due(begin) - Clock::now();
    if (free_.size() < queue_.depth()) left = std::min<Clock::duration>(left, kLongestSleep);
    if (left <= Clock::duration::zero()) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec time{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  }

  const std::vector<TracedOperation>& operations_;
  const double speed_;
  LegacyDriver& driver_;
  DriverQueue& queue_;
  std::vector<Clock::time_point> started_;  // by tag
  std::vector<uint16_t> free_;
  size_t next_ = 0;
  ReplayResult result_;
  Progress progress_;
};

// What of discards and zeroes is longer than the disk takes.
Result<void> check_segments(const std::vector<TracedOperation>& operations, const LegacyDriver& driver) {
  const VirtioBlkConfig config = driver.config();
  for (const TracedOperation& operation : operations) {
    const bool discards = operation.op == BlockOp::kDiscard;
    if (!discards && operation.op != BlockOp::kWriteZeroes) continue;
    if (!driver.accepted(discards ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES)) continue;
    const uint64_t sectors = operation.length / VIRTIO_BLK_SECTOR_SIZE;
    const uint32_t most = discards ? config.max_discard_sectors : config.max_write_zeroes_sectors;
    if (sectors <= most) continue;
    return Error{ErrorKind::kUsage,
                 concat("trace replay: a ", discards ? "discard" : "write of zeroes", " of ", sectors,
                        " sectors, and the disk takes ", most, "; give discard=", sectors, ":0:0 to -s")};
  }
  return {};
}

}  // namespace

std::vector<TracedOperation> operations_of(const Trace& trace) {
  std::vector<TracedOperation> operations;
  uint64_t begin = 0;
  for (const TraceItem& item : trace.items()) {
    if (item.event() != TraceEvent::kSubmit) continue;
    const auto op = static_cast<uint8_t>(item.record->detail & ~kTraceStable);
    if (op > static_cast<uint8_t>(BlockOp::kWriteZeroes)) continue;
    if (operations.empty()) begin = item.time;
    const auto& extent = item.body<TraceExtent>();
    operations.push_back(
        {.time = item.time - begin, .op = static_cast<BlockOp>(op), .offset = extent.offset, .length = extent.length});
  }
  return operations;
}

std::string fio_log(const std::vector<TracedOperation>& operations, const std::string& file) {
  std::string log = fmt::format("fio version 3 iolog\n0 {0} add\n0 {0} open\n", file);
  uint64_t time = 0;
  for (const TracedOperation& operation : operations) {
    time = operation.time / 1000;  // microseconds
    constexpr std::array<std::string_view, 5> kActions{"read", "write", "datasync", "trim", "write"};
    fmt::format_to(std::back_inserter(log), "{} {} {} {} {}\n", time, file, kActions[static_cast<size_t>(operation.op)],
                   operation.offset, operation.length);
  }
  return log + fmt::format("{} {} close\n", time, file);
}

Result<ReplayResult> replay(const std::vector<TracedOperation>& operations, double speed, LegacyDriver& driver) {
  const uint64_t bytes = driver.capacity() * VIRTIO_BLK_SECTOR_SIZE, most = driver.queue(0).data(0).size();
  uint64_t end = 0, largest = 0;
  bool writes = false;
  for (const TracedOperation& operation : operations) {
    const bool transfer = operation.op == BlockOp::kRead || operation.op == BlockOp::kWrite;
    const uint64_t length = std::min(operation.length, UINT64_MAX - operation.offset);
    end = std::max(end, operation.offset + length);
    if (transfer) largest = std::max(largest, operation.length);
    writes |= operation.op != BlockOp::kRead && operation.op != BlockOp::kFlush;
  }
  if (end > bytes) {
    return Error{ErrorKind::kUsage, concat("trace replay: the trace reaches to byte ", end, ", and the disk has ",
                                           bytes, "; give one of that size or more")};
  }
  if (largest > most) {
    return Error{ErrorKind::kUsage,
                 concat("trace replay: a request of ", largest, " bytes; at most ", most, " can be replayed")};
  }
  if (auto fits = check_segments(operations, driver); !fits) return fits.error();
  if (writes && driver.accepted(VIRTIO_BLK_F_RO)) {
    return Error{ErrorKind::kUsage, "trace replay: the trace writes, and the disk is ro; give one that may be written"};
  }
  return Replay(operations, speed, driver).run();
}

}  // namespace acrn
