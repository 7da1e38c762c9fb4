// vblk crash: makes the states that a crash could have left, one after the other, and has each checked.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"
#include "dm/base/folder.h"
#include "dm/base/one_line.h"
#include "dm/tools/commands.h"
#include "dm/tools/crash/checks.h"
#include "dm/tools/crash/images.h"
#include "dm/tools/crash/log_file.h"
#include "dm/tools/crash/state_images.h"
#include "dm/tools/crash/states.h"
#include "dm/tools/progress.h"

namespace acrn {
namespace {

constexpr uint64_t kSector = 512;

// A folder that goes with what is in it, in which each image has one of its own for what its check leaves.
class WorkFolder {
 public:
  WorkFolder() {
    const char* const base = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment
    const std::string folder = base != nullptr ? base : "/tmp";
    std::string name = folder + "/vblk-crash-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) {
      path_ = name;
    } else {
      made_ = Error{ErrorKind::kIo,
                    concat("TMPDIR=", folder, ": no folder for images can be made in it: ", errno_text(errno))};
    }
  }
  ~WorkFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const Result<void>& made() const { return made_; }
  std::string file(const std::string& name) const { return concat(path_, "/", name); }
  // For the image of a state, which is not there yet. Empty: there can be none.
  std::string image(const std::string& name) const {
    const std::string folder = file(name);
    return ::mkdir(folder.c_str(), 0700) == 0 ? folder + "/image" : "";
  }
  static void remove(const std::string& image) {
    std::error_code error;
    std::filesystem::remove_all(std::filesystem::path(image).parent_path(), error);
  }

 private:
  std::string path_;
  Result<void> made_;
};

class CrashRun {
 public:
  CrashRun(const CrashOptions& options, const LogFile& log)
      : options_(options),
        log_(log),
        states_options_{options.states.most, options.states.seed, std::max(options.states.atomic, log.sector())},
        total_(count_states(log.entries(), states_options_)),
        jobs_(options.parallel != 0 ? options.parallel : std::max(1u, std::thread::hardware_concurrency())),
        checks_(options.check, options.seconds, signals_),
        images_(log, options.base, folder_.file("rolling"), states_options_.atomic),
        progress_("crash", std::max<uint64_t>(total_, 1)) {}

  Result<void> run() {
    if (!folder_.made()) return folder_.made();
    for_each_state(log_.entries(), states_options_, [this](const CrashState& state) {
      result_ = visit(state);
      return result_.ok() && !failing_;
    });
    while (result_.ok() && checks_.running() != 0) result_ = wait_for_one();
    if (!result_) return result_;
    if (failing_) return report_failure();
    report();
    return {};
  }

 private:
  struct Numbered {
    CrashState state;
    uint64_t number = 0;
  };

  Result<void> visit(const CrashState& state) {
    visited_++;
    progress_.show(visited_, fmt::format("{} of {} states, {} different", visited_, total_, seen_.size()));
    if (auto rolled = images_.roll_to(state.flushed); !rolled) return rolled;
    const auto print = images_.fingerprint(state);
    if (!print) return print.error();
    if (!seen_.insert(print.value()).second) return {};
    while (checks_.running() >= jobs_) {
      if (auto waited = wait_for_one(); !waited) return waited;
    }
    if (failing_) return {};
    auto image = start_check(state, concat("state", visited_));
    if (!image) return image.error();
    states_.emplace(std::move(image).value(), Numbered{state, visited_});
    return visited_ == 1 ? wait_for_base() : Result<void>();
  }

  // The first state is the base. A check that fails there would say nothing of the rest.
  Result<void> wait_for_base() {
    const auto ended = checks_.wait();
    if (!ended) return ended.error();
    note(ended.value());
    if (ended.value().passed()) return {};
    return Error{ErrorKind::kUsage,
                 concat("--check fails on --base ", options_.base, " itself (", ended.value().why(),
                        "); give the image as it was when the log began, and a check that it passes")};
  }

  Result<void> wait_for_one() {
    const auto ended = checks_.wait();
    if (!ended) return ended.error();
    const Numbered checked = note(ended.value());
    if (ended.value().passed() || (failing_ && failing_->number < checked.number)) return {};
    failing_ = checked;
    failed_ = ended.value();
    return {};
  }

  // Returns the image.
  Result<std::string> start_check(const CrashState& state, const std::string& name) {
    std::string image = folder_.image(name);
    if (image.empty()) return Error{ErrorKind::kIo, concat("a folder for an image: ", errno_text(errno))};
    if (auto made = images_.make(state, image); !made) return made.error();
    if (auto started = checks_.start(image); !started) return started.error();
    return image;
  }

  Numbered note(const Checks::Ended& ended) {
    checked_++;
    WorkFolder::remove(ended.image);
    return std::move(states_.extract(ended.image).mapped());
  }

  // The check on that state. Nothing else runs.
  Result<Checks::Ended> check(const CrashState& state) {
    const auto image = start_check(state, concat("reduced", checked_));
    if (!image) return image.error();
    checked_++;
    auto ended = checks_.wait();
    WorkFolder::remove(image.value());
    return ended;
  }

  // One write after the other is taken out, if the check fails without it as well.
  Result<CrashState> reduced(CrashState state) {
    for (size_t i = state.extra.size(); i-- > 0;) {
      progress_.show(visited_, fmt::format("a state fails; {} writes may still be left out", i + 1));
      if (log_.entries()[state.extra[i]].is(LogWritesEntry::kFua)) continue;
      CrashState smaller = state;
      smaller.torn = state.torn && i + 1 != state.extra.size();
      smaller.extra.erase(smaller.extra.begin() + static_cast<ptrdiff_t>(i));
      const auto ended = check(smaller);
      if (!ended) return ended.error();
      if (!ended.value().passed()) state = std::move(smaller);
    }
    return state;
  }

  // Before the last write that the state has.
  std::string last_mark(const CrashState& state) const {
    const auto last = std::max_element(state.extra.begin(), state.extra.end());
    for (size_t i = last != state.extra.end() ? *last : state.flushed; i-- > 0;) {
      if (log_.entries()[i].is(LogWritesEntry::kMark)) return log_.entries()[i].mark;
    }
    return "";
  }

  // The epoch's last entry, so that what is missing can be named.
  size_t end_of_epoch(const CrashState& state) const {
    size_t end = state.flushed;
    while (end < log_.entries().size() && !log_.entries()[end].is(LogWritesEntry::kFlush)) end++;
    return end;
  }

  // How much of a write a state has.
  static const char* presence(const CrashState& state, size_t entry) {
    const auto found = std::find(state.extra.begin(), state.extra.end(), entry);
    if (found == state.extra.end()) return "missing";
    if (found + 1 != state.extra.end()) return "there";
    const bool late = found != state.extra.begin() && *(found - 1) > entry;
    return state.torn ? "torn" : late ? "late" : "there";
  }

  Result<void> report_failure() {
    // Later states may have been made before this one had failed.
    if (auto rolled = images_.roll_to(failing_->state.flushed); !rolled) return rolled;
    auto state = reduced(failing_->state);
    if (!state) return state.error();
    const auto ended = check(state.value());
    if (!ended) return ended.error();
    if (ended.value().passed()) {
      return Error{ErrorKind::kUsage, concat("--check: it fails on a state (", failed_.why(),
                                             ") and passes when it is run on it again; give one that does not change")};
    }
    print_failure(state.value(), ended.value());
    if (auto kept = images_.make(state.value(), options_.keep); !kept) return kept;
    return Error{ErrorKind::kIo, concat("crash: a state fails the check; its image is ", options_.keep)};
  }

  void print_failure(const CrashState& state, const Checks::Ended& ended) const {
    nlohmann::ordered_json json{{"states", total_},
                                {"checked", checked_},
                                {"flushed_entries", state.flushed},
                                {"mark", last_mark(state)},
                                {"image", options_.keep},
                                {"status", ended.status},
                                {"said", ended.said},
                                {"writes", nlohmann::ordered_json::array()}};
    std::vector<std::string> lines;
    for (size_t i = state.flushed; i < end_of_epoch(state); i++) {
      const LoggedWrite& write = log_.entries()[i];
      if (!write.writes()) continue;
      const uint64_t sector = write.offset / kSector;
      const char* const is = presence(state, i);
      json["writes"].push_back({{"entry", i + 1}, {"sector", sector}, {"bytes", write.length}, {"is", is}});
      lines.push_back(fmt::format("  entry {:<6} {:>8} bytes at sector {:<12} {}", i + 1, write.length, sector, is));
    }
    if (options_.json) {
      return fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    }
    const std::string mark = one_line(last_mark(state));
    fmt::print("fails: {}{}, and behind it:\n",
               state.flushed == 0 ? "nothing was flushed"
                                  : concat("everything up to the flush, entry ", state.flushed, ", is there"),
               mark.empty() ? "" : concat(" (last mark: ", mark, ")"));
    for (const std::string& line : lines) fmt::print("{}\n", line);
    fmt::print("the check: {}\nagain:     {}\n", ended.why(), with_image(options_.check, options_.keep));
  }

  // Of the writes that no flush and no FUA made stable, the most that were done between two flushes.
  size_t most_in_flight() const {
    size_t most = 0, now = 0;
    for (const LoggedWrite& write : log_.entries()) {
      now = write.is(LogWritesEntry::kFlush) ? 0 : now + (write.writes() && !write.is(LogWritesEntry::kFua) ? 1 : 0);
      most = std::max(most, now);
    }
    return most;
  }

  void report() const {
    const size_t most = most_in_flight();
    if (options_.json) {
      const nlohmann::ordered_json json{
          {"states", total_}, {"checked", checked_}, {"failed", 0}, {"most_in_flight", most}};
      return fmt::print("{}\n", json.dump());
    }
    fmt::print("{} states, {} different: all pass\n", total_, checked_);
    if (most == 0) fmt::print("Each write was stable by itself (writethru, FUA), so there were no others.\n");
    if (most >= 32 || uint64_t{1} << most > states_options_.most) {
      fmt::print("Of up to {} writes between two flushes not every subset was tried; --most takes more by chance.\n",
                 most);
    }
  }

  const CrashOptions& options_;
  const LogFile& log_;
  const StateOptions states_options_;
  const uint64_t total_;
  const unsigned jobs_;
  AwaitedSignals signals_;  // until all else is gone
  WorkFolder folder_;
  Checks checks_;
  StateImages images_;
  std::set<uint64_t> seen_;
  std::map<std::string, Numbered> states_;  // that are checked now, by their images
  std::optional<Numbered> failing_;
  Checks::Ended failed_;  // of that one
  uint64_t visited_ = 0, checked_ = 0;
  Result<void> result_;
  Progress progress_;
};

// Whether the image of a state that fails can be made.
Result<void> check_keep(const std::string& keep) {
  struct stat status {};
  if (::stat(keep.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return Error{ErrorKind::kUsage, concat("--keep ", keep, ": it is no regular file; name another")};
  }
  const UniqueFd there(::open(keep.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  int error = there ? 0 : errno;
  if (error == ENOENT) error = cannot_create_in(parent_folder(keep));
  if (error == 0) return {};
  return Error{ErrorKind::kNoInput, concat("--keep ", keep, ": it cannot be made: ", errno_text(error))};
}

// Files that do not go together.
Result<void> check_files(const CrashOptions& options, const LogFile& log) {
  const auto size = Image::size(options.base);
  if (!size) return size.error();
  for (const std::string& other : {options.base, options.log}) {
    std::error_code error;
    if (!std::filesystem::equivalent(options.keep, other, error)) continue;
    return Error{ErrorKind::kUsage, concat("--keep ", options.keep, ": that is ", other, "; name another file")};
  }
  if (auto kept = check_keep(options.keep); !kept) return kept;
  bool any = false;
  for (size_t i = 0; i < log.entries().size(); i++) {
    const LoggedWrite& write = log.entries()[i];
    if (!write.writes()) continue;
    any = true;
    if (write.offset + write.length <= size.value()) continue;
    return Error{ErrorKind::kNoInput,
                 concat("--log ", options.log, ": entry ", i + 1, " writes behind the end of --base ", options.base,
                        "; give the image as it was when the log began")};
  }
  if (any) return {};
  return Error{ErrorKind::kNoInput,
               concat("--log ", options.log, ": nothing was written, so there is nothing to check")};
}

}  // namespace

Result<void> run_crash(const CrashOptions& options) {
  auto log = LogFile::load(options.log);
  if (!log) return log.error();
  if (auto checked = check_files(options, log.value()); !checked) return checked;
  return CrashRun(options, log.value()).run();
}

}  // namespace acrn
