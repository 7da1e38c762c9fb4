// vblk check: the conformance self-test, clause by clause, with a report.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/base/log_setup.h"
#include "dm/base/page.h"
#include "dm/tools/check/check.h"
#include "dm/tools/commands.h"
#include "dm/tools/held_signals.h"

namespace acrn {
namespace {

constexpr size_t kIndent = 27;

struct Row {
  const Clause* clause;
  Verdict verdict;
};

// The sectors that clauses overwrite, kept while they run.
class ScratchSectors {
 public:
  explicit ScratchSectors(RawGuest& guest) : guest_(guest) {}

  Result<void> save() {
    contents_.resize(std::min(kScratchSectors, guest_.capacity()) * VIRTIO_BLK_SECTOR_SIZE);
    return transfer(VIRTIO_BLK_T_IN, "read");
  }
  Result<void> restore() {
    if (auto again = guest_.restart(~uint64_t{0}); !again) return again;
    if (auto written = transfer(VIRTIO_BLK_T_OUT, "written back"); !written) return written;
    const auto flushed = guest_.flush();
    if (flushed && flushed->status == VIRTIO_BLK_S_OK) return {};
    return Error{ErrorKind::kIo, "check: the first sectors were written back, but the flush failed"};
  }

 private:
  Result<void> transfer(uint32_t type, const char* what) {
    const auto outcome = guest_.request(type, 0, contents_);
    if (outcome && outcome->status == VIRTIO_BLK_S_OK) return {};
    return Error{ErrorKind::kIo, concat("check: the disk's first ", contents_.size(), " bytes could not be ", what)};
  }

  RawGuest& guest_;
  std::vector<std::byte> contents_;
};

void run_clauses(CheckContext& context, std::vector<Row>& rows) {
  for (const auto clauses : {pci_clauses(), register_clauses(), ring_clauses(), block_clauses()}) {
    for (const Clause& clause : clauses) {
      if (HeldSignals::came() != 0) return;
      const auto ready = context.guest.restart(~uint64_t{0});
      rows.push_back({&clause, ready.ok() ? clause.check(context) : broken("before it: " + ready.error().message)});
    }
  }
}

// Leaves the disk as it was. A signal ends the clauses, and the process behind them.
Result<void> try_clauses(CheckContext& context, std::vector<Row>& rows) {
  const HeldSignals held(HeldSignals::Second::kIsHeld);
  if (!context.writable()) {
    run_clauses(context, rows);
    return {};
  }
  ScratchSectors scratch(context.guest);
  if (auto saved = scratch.save(); !saved) return saved;
  run_clauses(context, rows);
  return scratch.restore();
}

const char* word(Verdict::Kind kind) {
  return kind == Verdict::kHolds ? "ok" : kind == Verdict::kBroken ? "BROKEN" : "skipped";
}

size_t count(const std::vector<Row>& rows, Verdict::Kind kind) {
  return static_cast<size_t>(
      std::count_if(rows.begin(), rows.end(), [kind](const Row& row) { return row.verdict.kind == kind; }));
}

void print_json(const std::vector<Row>& rows) {
  nlohmann::ordered_json report{{"ok", count(rows, Verdict::kHolds)},
                                {"broken", count(rows, Verdict::kBroken)},
                                {"skipped", count(rows, Verdict::kSkipped)}};
  for (const Row& row : rows) {
    report["clauses"].push_back({{"name", row.clause->name},
                                 {"rule", row.clause->rule},
                                 {"source", row.clause->source},
                                 {"result", word(row.verdict.kind)},
                                 {"seen", row.verdict.text}});
  }
  fmt::print("{}\n", report.dump(2));
}

void print_table(const std::vector<Row>& rows) {
  const bool colour = isatty(STDOUT_FILENO) == 1;
  for (const Row& row : rows) {
    const char* begin = !colour                                ? ""
                        : row.verdict.kind == Verdict::kHolds  ? "\033[32m"
                        : row.verdict.kind == Verdict::kBroken ? "\033[31m"
                                                               : "\033[33m";
    const std::string name = fmt::format("{:<7} {:<18} ", word(row.verdict.kind), row.clause->name);
    const std::string text = wrapped(name, fmt::format("{} ({})", row.clause->rule, row.clause->source), kIndent);
    const size_t end = text.find(' ');  // of the coloured word
    fmt::print("{}{}{}{}\n", begin, text.substr(0, end), colour ? "\033[0m" : "", text.substr(end));
    if (!row.verdict.text.empty()) fmt::print("{}\n", wrapped("", row.verdict.text, kIndent));
  }
  fmt::print("{} clauses hold, {} broken, {} skipped\n", count(rows, Verdict::kHolds), count(rows, Verdict::kBroken),
             count(rows, Verdict::kSkipped));
}

}  // namespace

Result<void> run_check(const SessionOptions& options, bool json) {
  // The clauses break rules on purpose; the device's remarks on that are not the report.
  if (auto quiet = setup_logging({.console = static_cast<int>(LogLevel::kError)}, ""); !quiet) return quiet;
  auto session = Session::open(options, 1);
  if (!session) return session.error();
  const PciSlotConfig& slot = session.value()->slot(0);
  auto guest = RawGuest::start(session.value()->machine(), slot.address, ~uint64_t{0},
                               options.single_msi ? InterruptMode::kMsi : InterruptMode::kMsix);
  if (!guest) return guest.error();
  if (guest.value().size() < 4) {
    return Error{ErrorKind::kUsage,
                 "queue_size=2: a plain request has three descriptors; check needs queue_size=4 or more"};
  }
  CheckContext context{guest.value(), slot.address, session.value()->options(0), options.single_msi};
  std::vector<Row> rows;
  auto tried = try_clauses(context, rows);
  if (!rows.empty()) json ? print_json(rows) : print_table(rows);
  if (!tried) return tried;
  if (const size_t failures = count(rows, Verdict::kBroken); failures != 0) {
    return Error{ErrorKind::kInternal, concat("check: ", failures, " clauses are broken")};
  }
  return {};
}

}  // namespace acrn
