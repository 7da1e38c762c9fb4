// vblk bench: a load generator on the emulated device and, with --direct-baseline, the same pattern issued directly on
// the same file, in turns within one run, since machines are noisy.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "acrn/base/concat.h"
#include "dm/tools/bench_device.h"
#include "dm/tools/bench_direct.h"
#include "dm/tools/bench_report.h"
#include "dm/tools/commands.h"
#include "dm/tools/progress.h"

namespace acrn {
namespace {

constexpr unsigned kRounds = 5;

// How a side does one round.
using RunSide = std::function<Result<BenchRound>(double seconds, uint64_t seed, const BenchTick& tick)>;

struct Contender {
  BenchSide& side;
  RunSide run;
};

// The rounds of all sides in turns, each round begun by another one: whoever comes first finds other caches.
class Contest {
 public:
  Contest(const BenchOptions& options, const DirectFile* cold, const BlockLedger* ledger, std::vector<Contender> contenders)
      : options_(options), cold_(cold), ledger_(ledger), contenders_(std::move(contenders)),
        progress_("bench", static_cast<uint64_t>(1e3 * static_cast<double>(contenders_.size()) * (options.seconds + options.ramp))) {
    if (progress_.visible()) tick_ = [this] { progress_.show(elapsed(), note_); };
  }

  Result<void> run() {
    const size_t count = contenders_.size();
    for (size_t i = 0; options_.ramp > 0 && i < count; i++) {
      if (auto done = round(contenders_[i], 0, options_.ramp); !done) return done.error();
    }
    for (unsigned number = 1; number <= kRounds; number++) {
      for (size_t i = 0; i < count && !(ledger_ != nullptr && ledger_->failed()); i++) {
        Contender& contender = contenders_[(number - 1 + i) % count];
        auto measured = round(contender, number, options_.seconds / kRounds);
        if (!measured) return measured.error();
        contender.side.series.add(measured.value());
      }
    }
    return {};
  }

  const BenchTick& tick(std::string note) {
    note_ = std::move(note);
    return tick_;
  }

 private:
  Result<BenchRound> round(Contender& contender, unsigned number, double seconds) {
    if (cold_ != nullptr) {
      if (auto dropped = cold_->drop_pages(); !dropped) return dropped.error();
    }
    note_ = number == 0 ? contender.side.name + ", not measured yet"
                        : fmt::format("{}, round {} of {}", contender.side.name, number, kRounds);
    return contender.run(seconds, options_.seed + number, tick_);
  }
  uint64_t elapsed() const {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(BenchClock::now() - begun_).count());
  }

  const BenchOptions& options_;
  const DirectFile* cold_;
  const BlockLedger* ledger_;
  std::vector<Contender> contenders_;
  Progress progress_;
  BenchTick tick_;
  std::string note_;
  const BenchClock::time_point begun_ = BenchClock::now();
};

Result<uint64_t> span_of(const BenchOptions& options, const LegacyDriver& driver) {
  const uint64_t capacity = driver.capacity() * VIRTIO_BLK_SECTOR_SIZE;
  const uint64_t bytes = std::min(options.size.value_or(capacity), capacity);
  if (bytes >= options.block) return bytes;
  return Error{ErrorKind::kUsage, concat("--bs ", options.block, ": larger than the ", bytes, " bytes to work on")};
}

// RAM for the buffers of all requests of all queues, and what was always enough for the rest.
Result<uint64_t> ram_for(const SessionOptions& session, const BenchOptions& options) {
  constexpr uint64_t kMost = LoopbackMachine::kFirstMemoryBar - LoopbackMachine::kRamBase - (1u << 20);
  if (session.slots.size() != 1) return session.ram;  // which is refused
  auto slot = parse_slot(session.slots[0]);
  if (!slot) return slot.error();
  if (!slot.value().block) return session.ram;
  const uint64_t depth = std::min(options.depth, slot.value().block->queue_size);
  const uint64_t buffers = slot.value().block->queues * depth * (uint64_t{options.block} + 4096);
  constexpr uint64_t kRest = uint64_t{64} << 20, kUnit = uint64_t{2} << 20;
  const uint64_t ram = std::max(session.ram, (buffers + kRest + kUnit - 1) / kUnit * kUnit);
  if (ram <= kMost) return ram;
  return Error{ErrorKind::kUsage, concat("--qd ", options.depth, ": ", buffers, " bytes of buffers, at most ", kMost - kRest,
                                         "; give less, a smaller --bs, or fewer queues")};
}

Result<unsigned> jobs_of(const BenchOptions& options, const LegacyDriver& driver) {
  const unsigned queues = driver.queue_count(), jobs = options.jobs.value_or(queues);
  if (jobs <= queues) return jobs;
  return Error{ErrorKind::kUsage, concat("--numjobs ", jobs, ": each has a queue of its own, and the disk has ", queues, "; give mq=", jobs, " to -s")};
}

Result<std::unique_ptr<BlockLedger>> ledger_for(const BenchOptions& options, uint64_t bytes, unsigned jobs) {
  std::unique_ptr<BlockLedger> none;
  if (!options.verify) return none;
  const uint64_t blocks = bytes / options.block, in_flight = uint64_t{jobs} * options.depth;
  if (blocks < in_flight) {
    return Error{ErrorKind::kUsage, concat("--verify: ", in_flight, " requests in flight on ", blocks, " blocks, where each needs its own; give a smaller --qd or a larger --size")};
  }
  const auto run = static_cast<uint32_t>(BenchClock::now().time_since_epoch().count() / 1000 ^ getpid() << 16);
  return BlockLedger::create(blocks, options.block, run);
}

Error requests_failed(const BenchSide& side) {
  const BenchRound& total = side.series.total;
  return {ErrorKind::kIo, concat("bench: ", side.name, ": ", total.errors, " of ", total.errors + total.latency.count(), " requests failed, the first with: ", total.first_error)};
}

}  // namespace

Result<void> run_bench(const SessionOptions& session_options, const BenchOptions& asked) {
  SessionOptions enough = session_options;
  const auto ram = ram_for(session_options, asked);
  if (!ram) return ram.error();
  enough.ram = ram.value();
  auto session = Session::open(enough, 1);
  if (!session) return session.error();
  const BlockOptions& disk = *session.value()->slot(0).block;
  if (asked.writes() && disk.read_only) return Error{ErrorKind::kUsage, concat("--rw ", asked.rw, ": the disk is ro; give read or randread")};
  DriverOptions driver_options = session_options.driver();
  driver_options.depth = asked.depth;
  driver_options.max_bytes = asked.block;
  auto driver = session.value()->drive(0, driver_options);
  if (!driver) return driver.error();
  BenchOptions options = asked;
  options.depth = driver.value()->queue(0).depth();
  const auto bytes = span_of(options, *driver.value());
  if (!bytes) return bytes.error();
  const auto jobs = jobs_of(options, *driver.value());
  if (!jobs) return jobs.error();
  auto ledger = ledger_for(options, bytes.value(), jobs.value());
  if (!ledger) return ledger.error();

  BenchReport report{.options = options, .asked_depth = asked.depth, .jobs = jobs.value(),
                     .queues = driver.value()->queue_count(), .rounds = kRounds, .bytes = bytes.value(), .device = {.name = "device"}};
  std::optional<DirectFile> file;
  if (options.direct != DirectMethod::kNone || options.cold) {
    auto opened = DirectFile::open(disk, options.direct != DirectMethod::kNone ? "--direct-baseline" : "--cold");
    if (!opened) return opened.error();
    file.emplace(std::move(opened).value());
  }
  if (options.direct == DirectMethod::kPreadv || options.direct == DirectMethod::kBest) report.direct.push_back({.name = "preadv"});
  if (options.direct == DirectMethod::kIoUring || options.direct == DirectMethod::kBest) {
    const std::string refusal = io_uring_refusal(options.depth);
    if (refusal.empty()) {
      report.direct.push_back({.name = "io_uring"});
    } else if (options.direct == DirectMethod::kIoUring) {
      return Error{ErrorKind::kInternal, concat("--direct-baseline=io_uring: this host does not let us: ", refusal)};
    } else {
      report.left_out = concat("io_uring, which this host does not let us use: ", refusal);
    }
  }

  DeviceLoad device(*driver.value(), options, bytes.value(), jobs.value(), ledger.value().get());
  std::vector<Contender> contenders{{report.device, [&](double seconds, uint64_t seed, const BenchTick& tick) { return device.run(seconds, seed, tick); }}};
  for (BenchSide& side : report.direct) {
    const auto run_job = side.name == "preadv" ? run_direct_calls : run_direct_ring;
    contenders.push_back({side, [&, run_job](double seconds, uint64_t seed, const BenchTick& tick) {
      return run_jobs(jobs.value(), [&](unsigned job, BenchRound& round) {
        return run_job(*file, options, BenchPattern(options, bytes.value() / options.block, seed, job, jobs.value()), seconds, round);
      }, tick);
    }});
  }
  {
    Contest contest(options, options.cold ? &*file : nullptr, ledger.value().get(), contenders);
    if (auto done = contest.run(); !done) return done;
    if (ledger.value() && !ledger.value()->failed()) {
      auto read_back = device.read_back(contest.tick("reading back"));
      if (!read_back) return read_back.error();
      report.read_back = read_back.value().checked;
      if (read_back.value().errors > 0) {
        return Error{ErrorKind::kIo, concat("bench: reading back: ", read_back.value().errors, " requests failed, the first with: ", read_back.value().first_error)};
      }
    }
  }
  if (ledger.value() && ledger.value()->failed()) return Error{ErrorKind::kIo, ledger.value()->failure()};

  (options.json ? print_bench_json : print_bench_table)(report);
  if (report.device.series.total.errors > 0) return requests_failed(report.device);
  for (const BenchSide& side : report.direct) {
    if (side.series.total.errors > 0) return requests_failed(side);
  }
  return {};
}

}  // namespace acrn
