// vblk bench: a load generator on the emulated device and, with --baseline, the same pattern issued directly on
// the same file, in turns within one run, since machines are noisy.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <thread>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"
#include "dm/block_config.h"
#include "dm/tools/bench_stats.h"
#include "dm/tools/commands.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned kRounds = 5;

struct RunResult {
  LatencyHistogram latency;
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t errors = 0;
  uint64_t kicks = 0, interrupts = 0;

  double iops() const { return static_cast<double>(latency.count()) / seconds; }
};

// Offsets and directions, the same sequence for device and baseline with the same seed.
class Pattern {
 public:
  Pattern(const BenchOptions& options, uint64_t bytes, uint64_t seed)
      : blocks_(bytes / options.block), block_(options.block), random_(options.rw.starts_with("rand")),
        read_percent_(options.rw == "randrw" ? options.read_percent : options.rw.ends_with("read") ? 100 : 0),
        state_(seed * 0x9e3779b97f4a7c15 + 1) {}

  uint64_t next_offset() {
    if (random_) return draw() % blocks_ * block_;
    const uint64_t offset = next_ * block_;
    next_ = (next_ + 1) % blocks_;
    return offset;
  }
  bool next_is_read() { return read_percent_ == 100 || (read_percent_ != 0 && draw() % 100 < read_percent_); }

 private:
  uint64_t draw() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1d) >> 16;
  }

  uint64_t blocks_, block_, next_ = 0;
  bool random_;
  unsigned read_percent_;
  uint64_t state_;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Keeps `depth` requests in flight on one queue for `seconds`.
class QueueLoad {
 public:
  QueueLoad(DriverQueue& queue, Pattern pattern, uint32_t block) : queue_(queue), pattern_(pattern), block_(block), begun_(queue.depth()) {}

  // False: the device stopped answering.
  bool run(double seconds, RunResult& result) {
    const DriverQueue::Counters before = queue_.counters();
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    unsigned in_flight = 0;
    auto now = begin;
    for (uint16_t tag = 0; tag < queue_.depth(); tag++, in_flight++) start(tag, now);
    queue_.kick();
    while (in_flight > 0) {
      now = Clock::time_point{};
      const bool answered = queue_.reap([&](const DriverCompletion& done) {
        if (now == Clock::time_point{}) now = Clock::now();  // once for what is found together
        if (done.status == VIRTIO_BLK_S_OK) {
          result.latency.add(static_cast<uint64_t>((now - begun_[done.tag]).count()));
        } else {
          result.errors++;
        }
        in_flight--;
        if (now < end) start(done.tag, now), in_flight++;
      });
      if (!answered) return false;
      queue_.kick();
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    result.kicks = queue_.counters().kicks - before.kicks;
    result.interrupts = queue_.counters().interrupts - before.interrupts;
    return true;
  }

 private:
  void start(uint16_t tag, Clock::time_point now) {
    const bool read = pattern_.next_is_read();
    begun_[tag] = now;
    queue_.start(tag, read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, pattern_.next_offset() / VIRTIO_BLK_SECTOR_SIZE, block_, !read);
  }

  DriverQueue& queue_;
  Pattern pattern_;
  uint32_t block_;
  std::vector<Clock::time_point> begun_;
};

Result<RunResult> run_device(LegacyDriver& driver, const BenchOptions& options, uint64_t bytes, double seconds, uint64_t seed) {
  std::vector<RunResult> results(driver.queue_count());
  std::atomic<bool> answered{true};
  const double cpu_before = cpu_seconds();
  {
    std::vector<std::jthread> jobs;
    for (unsigned i = 0; i < driver.queue_count(); i++) {
      jobs.emplace_back([&, i] {
        QueueLoad load(driver.queue(i), Pattern(options, bytes, seed + i), options.block);
        if (!load.run(seconds, results[i])) answered = false;
      });
    }
  }
  if (!answered) return Error{ErrorKind::kInternal, "bench: the device does not answer"};
  RunResult total;
  for (const RunResult& part : results) {
    total.latency.merge(part.latency);
    total.seconds = std::max(total.seconds, part.seconds);
    total.errors += part.errors;
    total.kicks += part.kicks;
    total.interrupts += part.interrupts;
  }
  total.cpu_seconds = cpu_seconds() - cpu_before;
  return total;
}

// The same pattern by preadv and pwritev, one thread, on the file that the device serves.
class Baseline {
 public:
  static Result<std::unique_ptr<Baseline>> open(const BlockOptions& disk, const BenchOptions& options) {
    const auto* file = std::get_if<FilePath>(&disk.source);
    if (file == nullptr) return Error{ErrorKind::kUsage, "--baseline: needs a file or a block device, not " + source_text(disk.source)};
    std::unique_ptr<Baseline> baseline(new Baseline);
    const int flags = (disk.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (disk.nocache ? O_DIRECT : 0);
    baseline->file_ = UniqueFd(::open(file->path.c_str(), flags));
    if (!baseline->file_) return Error{ErrorKind::kNoInput, concat("--baseline: ", file->path, ": ", errno_text(errno))};
    baseline->write_flags_ = disk.writeback ? 0 : RWF_DSYNC;
    if (disk.range) baseline->start_ = disk.range->start * disk.logical_sector;
    baseline->stride_ = (size_t{options.block} + 4095) & ~size_t{4095};
    baseline->buffers_ = options.depth;
    void* memory = std::aligned_alloc(4096, baseline->stride_ * options.depth);
    if (memory == nullptr) return Error{ErrorKind::kInternal, "--baseline: out of memory"};
    std::fill_n(static_cast<char*>(memory), baseline->stride_ * options.depth, '\x5a');
    baseline->memory_.reset(static_cast<std::byte*>(memory));
    return baseline;
  }

  RunResult run(const BenchOptions& options, uint64_t bytes, double seconds, uint64_t seed) {
    Pattern pattern(options, bytes, seed);
    RunResult result;
    const double cpu_before = cpu_seconds();
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    auto now = begin;
    for (size_t i = 0; now < end; i++) {
      const bool read = pattern.next_is_read();
      const iovec buffer{memory_.get() + stride_ * (i % buffers_), options.block};
      const auto offset = static_cast<off_t>(start_ + pattern.next_offset());
      const ssize_t moved = read ? preadv(file_.fd(), &buffer, 1, offset) : pwritev2(file_.fd(), &buffer, 1, offset, write_flags_);
      const auto then = Clock::now();
      if (moved == static_cast<ssize_t>(options.block)) {
        result.latency.add(static_cast<uint64_t>((then - now).count()));
      } else {
        result.errors++;
      }
      now = then;
    }
    result.seconds = std::chrono::duration<double>(now - begin).count();
    result.cpu_seconds = cpu_seconds() - cpu_before;
    return result;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  Baseline() = default;
  UniqueFd file_;
  int write_flags_ = 0;
  uint64_t start_ = 0;
  size_t stride_ = 0, buffers_ = 0;
  std::unique_ptr<std::byte, Free> memory_;
};

// The rounds of one side.
struct Series {
  std::vector<double> iops;
  RunResult total;

  void add(const RunResult& round) {
    iops.push_back(round.iops());
    total.latency.merge(round.latency);
    total.seconds += round.seconds;
    total.cpu_seconds += round.cpu_seconds;
    total.errors += round.errors;
    total.kicks += round.kicks;
    total.interrupts += round.interrupts;
  }
};

nlohmann::ordered_json describe(const Series& series, const BenchOptions& options) {
  const double operations = std::max<double>(1, static_cast<double>(series.total.latency.count()));
  const double iops = median(series.iops);
  const auto microseconds = [&](double quantile) { return static_cast<double>(series.total.latency.percentile(quantile)) / 1e3; };
  return {{"iops", iops},
          {"mb_per_second", iops * options.block / 1e6},
          {"p50_us", microseconds(0.5)},
          {"p99_us", microseconds(0.99)},
          {"p999_us", microseconds(0.999)},
          {"cpu_seconds_per_million", series.total.cpu_seconds / operations * 1e6},
          {"kicks_per_io", static_cast<double>(series.total.kicks) / operations},
          {"interrupts_per_io", static_cast<double>(series.total.interrupts) / operations},
          {"errors", series.total.errors}};
}

void print_row(const char* name, const nlohmann::ordered_json& row) {
  fmt::print("{:<8} {:>10.0f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.2f} {:>8.3f} {:>8.3f} {:>7}\n", name,
             row["iops"].get<double>(), row["mb_per_second"].get<double>(), row["p50_us"].get<double>(),
             row["p99_us"].get<double>(), row["p999_us"].get<double>(), row["cpu_seconds_per_million"].get<double>(),
             row["kicks_per_io"].get<double>(), row["interrupts_per_io"].get<double>(), row["errors"].get<uint64_t>());
}

Result<uint64_t> span_of(const BenchOptions& options, const LegacyDriver& driver) {
  static constexpr std::array<std::string_view, 5> kKinds{"read", "write", "randread", "randwrite", "randrw"};
  if (std::find(kKinds.begin(), kKinds.end(), options.rw) == kKinds.end()) {
    return Error{ErrorKind::kUsage, concat("--rw ", options.rw, ": not one of read, write, randread, randwrite, randrw")};
  }
  if (options.block == 0 || options.block % VIRTIO_BLK_SECTOR_SIZE != 0) {
    return Error{ErrorKind::kUsage, concat("--bs ", options.block, ": not a multiple of 512 bytes")};
  }
  const uint64_t capacity = driver.capacity() * VIRTIO_BLK_SECTOR_SIZE;
  const uint64_t bytes = std::min(options.size.value_or(capacity), capacity);
  if (bytes < options.block) {
    return Error{ErrorKind::kUsage, concat("--bs ", options.block, ": larger than the ", bytes, " bytes to work on")};
  }
  return bytes;
}

}  // namespace

Result<void> run_bench(const SessionOptions& options, const BenchOptions& bench) {
  auto session = Session::open(options, 1);
  if (!session) return session.error();
  const BlockOptions& disk = *session.value()->slot(0).block;
  DriverOptions driver_options = options.driver();
  driver_options.depth = bench.depth;
  driver_options.max_bytes = std::max<uint32_t>(bench.block, VIRTIO_BLK_SECTOR_SIZE);
  auto driver = session.value()->drive(0, driver_options);
  if (!driver) return driver.error();
  const auto bytes = span_of(bench, *driver.value());
  if (!bytes) return bytes.error();
  std::unique_ptr<Baseline> baseline;
  if (bench.baseline) {
    auto opened = Baseline::open(disk, bench);
    if (!opened) return opened.error();
    baseline = std::move(opened).value();
  }

  Series device, direct;
  for (unsigned round = 0; round < kRounds; round++) {
    auto measured = run_device(*driver.value(), bench, bytes.value(), bench.seconds / kRounds, bench.seed + round);
    if (!measured) return measured.error();
    device.add(measured.value());
    if (baseline) direct.add(baseline->run(bench, bytes.value(), bench.seconds / kRounds, bench.seed + round));
  }

  nlohmann::ordered_json report{{"rw", bench.rw}, {"bs", bench.block}, {"qd", driver.value()->queue(0).depth()},
                                {"queues", driver.value()->queue_count()}, {"bytes", bytes.value()},
                                {"seconds", bench.seconds}, {"rounds", kRounds}, {"device", describe(device, bench)}};
  if (baseline) {
    report["direct"] = describe(direct, bench);
    report["ratio"] = median(device.iops) / median(direct.iops);
  }
  if (bench.json) {
    fmt::print("{}\n", report.dump(2));
    return {};
  }
  fmt::print("{} of {} bytes, depth {}, {} queue(s), medians of {} rounds\n", bench.rw, bench.block,
             driver.value()->queue(0).depth(), driver.value()->queue_count(), kRounds);
  fmt::print("{:<8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7}\n", "", "IOPS", "MB/s", "p50 us", "p99 us",
             "p99.9 us", "CPUs/M", "kicks", "irqs", "errors");
  print_row("device", report["device"]);
  if (baseline) {
    print_row("direct", report["direct"]);
    fmt::print("ratio    {:>10.2f}\n", report["ratio"].get<double>());
  }
  return {};
}

}  // namespace acrn
