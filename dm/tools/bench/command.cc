// vblk bench: a load generator on the emulated device and, with --direct-baseline, the same pattern issued directly on
// the same file, in turns within one run, since machines are noisy.
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "acrn/base/concat.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/tools/bench/bench_run.h"
#include "dm/tools/bench/device.h"
#include "dm/tools/commands.h"

namespace acrn {
namespace {

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
  const BlockOptions* const disk = block_options(slot.value());
  if (disk == nullptr) return session.ram;
  const uint64_t depth = std::min(options.depth, disk->queue_size);
  const uint64_t buffers = disk->queues * depth * (uint64_t{options.block} + 4096);
  constexpr uint64_t kRest = uint64_t{64} << 20, kUnit = uint64_t{2} << 20;
  const uint64_t ram = std::max(session.ram, (buffers + kRest + kUnit - 1) / kUnit * kUnit);
  if (ram <= kMost) return ram;
  return Error{ErrorKind::kUsage, concat("--qd ", options.depth, ": ", buffers, " bytes of buffers, at most ",
                                         kMost - kRest, "; give less, a smaller --bs, or fewer queues")};
}

Result<unsigned> jobs_of(const BenchOptions& options, const LegacyDriver& driver) {
  const unsigned queues = driver.queue_count(), jobs = options.jobs.value_or(queues);
  if (jobs <= queues) return jobs;
  return Error{ErrorKind::kUsage, concat("--numjobs ", jobs, ": each has a queue of its own, and the disk has ", queues,
                                         "; give mq=", jobs, " to -s")};
}

Result<std::unique_ptr<WriteLedger>> ledger_for(const BenchOptions& options, uint64_t bytes, unsigned jobs) {
  std::unique_ptr<WriteLedger> none;
  if (!options.verify) return none;
  const uint64_t blocks = bytes / options.block, in_flight = uint64_t{jobs} * options.depth;
  if (blocks < in_flight) {
    return Error{ErrorKind::kUsage,
                 concat("--verify: ", in_flight, " requests in flight on ", blocks,
                        " blocks, where each needs its own; give a smaller --qd or a larger --size")};
  }
  const auto run = static_cast<uint32_t>(BenchClock::now().time_since_epoch().count() / 1000 ^ getpid() << 16);
  return WriteLedger::create(blocks, options.block, run);
}

// One benchmark from its command line to its report.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> open(const SessionOptions& session, const BenchOptions& options) {
    std::unique_ptr<Bench> bench(new Bench(options));
    if (auto driven = bench->open_device(session); !driven) return driven.error();
    if (auto direct = bench->open_direct(); !direct) return direct.error();
    return bench;
  }

  // Measures, and verifies what it wrote.
  Result<void> run() {
    BenchRun contest(options_, options_.cold ? &*file_ : nullptr, ledger_.get(), contenders());
    if (auto done = contest.run(); !done) return done;
    if (!ledger_) return {};
    if (!ledger_->failed()) {
      auto read_back = device_->read_back(contest.tick("reading back"));
      if (!read_back) return read_back.error();
      if (read_back.value().errors > 0) return requests_failed("reading back", read_back.value());
      report_.read_back = read_back.value().checked;
    }
    if (ledger_->failed()) return Error{ErrorKind::kIo, ledger_->failure()};
    return {};
  }

  // Prints it, whatever the requests came to.
  Result<void> report() const {
    (options_.json ? print_bench_json : print_bench_table)(report_);
    if (report_.device.series.total.errors > 0) return requests_failed("device", report_.device.series.total);
    for (const BenchSide& side : report_.direct) {
      if (side.series.total.errors > 0) return requests_failed(side.name, side.series.total);
    }
    return {};
  }

 private:
  explicit Bench(const BenchOptions& options)
      : options_(options), report_{.options = options_, .device = {.name = "device"}} {}

  static Error requests_failed(std::string_view who, const BenchRound& round) {
    return {ErrorKind::kIo, concat("bench: ", who, ": ", round.errors, " of ", round.errors + round.latency.count(),
                                   " requests failed, the first with: ", round.first_error)};
  }

  Result<void> open_device(SessionOptions session_options) {
    const auto ram = ram_for(session_options, options_);
    if (!ram) return ram.error();
    session_options.ram = ram.value();
    auto session = Session::open(session_options, 1);
    if (!session) return session.error();
    session_ = std::move(session).value();
    if (options_.writes() && disk().read_only) {
      return Error{ErrorKind::kUsage, concat("--rw ", options_.rw, ": the disk is ro; give read or randread")};
    }
    DriverOptions driver_options = session_options.driver();
    driver_options.depth = options_.depth;
    driver_options.max_bytes = options_.block;
    auto driver = session_->drive(0, driver_options);
    if (!driver) return driver.error();
    driver_ = std::move(driver).value();
    report_.asked_depth = std::exchange(options_.depth, driver_->queue(0).depth());
    report_.queues = driver_->queue_count();
    return share_out();
  }

  // The disk among the jobs.
  Result<void> share_out() {
    const auto bytes = span_of(options_, *driver_);
    if (!bytes) return bytes.error();
    report_.bytes = bytes.value();
    const auto jobs = jobs_of(options_, *driver_);
    if (!jobs) return jobs.error();
    report_.jobs = jobs.value();
    auto ledger = ledger_for(options_, report_.bytes, report_.jobs);
    if (!ledger) return ledger.error();
    ledger_ = std::move(ledger).value();
    device_.emplace(*driver_, options_, report_.bytes, report_.jobs, ledger_.get());
    return {};
  }

  Result<void> open_direct() {
    const bool compared = options_.direct != DirectMethod::kNone;
    if (!compared && !options_.cold) return {};
    if (compared && disk().is_image()) {
      return Error{ErrorKind::kUsage, concat("--direct-baseline: ", source_text(disk().source), ": ",
                                             disk().snapshot ? "with snapshot its file is not written to"
                                                             : "an image (format=) has other bytes than its disk",
                                             "; give a raw file")};
    }
    auto file = DirectFile::open(disk(), compared ? "--direct-baseline" : "--cold");
    if (!file) return file.error();
    file_.emplace(std::move(file).value());
    if (!compared) return {};
    if (options_.direct != DirectMethod::kIoUring) report_.direct.push_back({.name = "preadv"});
    if (options_.direct == DirectMethod::kPreadv) return {};
    const std::string refusal = io_uring_refusal(options_.depth);
    if (refusal.empty()) {
      report_.direct.push_back({.name = "io_uring"});
      return {};
    }
    report_.left_out = concat("io_uring, which this host forbids: ", refusal);
    if (options_.direct == DirectMethod::kBest) return {};
    return Error{ErrorKind::kInternal, concat("--direct-baseline=", report_.left_out)};
  }

  std::vector<BenchTarget> contenders() {
    std::vector<BenchTarget> all;
    all.push_back({report_.device, [this](double seconds, uint64_t seed, const BenchTick& tick) {
                     return device_->run(seconds, seed, tick);
                   }});
    for (BenchSide& side : report_.direct) {
      auto& method = side.name == "preadv" ? run_direct_calls : run_direct_ring;
      auto load = std::make_shared<DirectLoad>(method, *file_, options_, report_.bytes, report_.jobs);
      all.push_back({side, [load](double seconds, uint64_t seed, const BenchTick& tick) {
                       return load->run(seconds, seed, tick);
                     }});
    }
    return all;
  }

  const BlockOptions& disk() const { return session_->options(0); }

  BenchOptions options_;
  BenchReport report_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<LegacyDriver> driver_;
  std::unique_ptr<WriteLedger> ledger_;
  std::optional<DeviceLoad> device_;
  std::optional<DirectFile> file_;
};

}  // namespace

Result<void> run_bench(const SessionOptions& session, const BenchOptions& options) {
  auto bench = Bench::open(session, options);
  if (!bench) return bench.error();
  if (auto done = bench.value()->run(); !done) return done;
  return bench.value()->report();
}

}  // namespace acrn
