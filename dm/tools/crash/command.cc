// vblk crash: makes the states that a crash could have left, one after the other, and has each checked.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/tools/commands.h"
#include "dm/tools/crash/images.h"
#include "dm/tools/crash/log_file.h"
#include "dm/tools/crash/states.h"
#include "dm/tools/progress.h"

extern char** environ;

namespace acrn {
namespace {

constexpr uint64_t kSector = 512;

// A folder that goes with what is in it.
class WorkFolder {
 public:
  WorkFolder() {
    const char* const base = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment
    std::string name = concat(base != nullptr ? base : "/tmp", "/vblk-crash-XXXXXX");
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~WorkFolder() {
    for (const std::string& file : files_) ::unlink(file.c_str());
    if (!path_.empty()) ::rmdir(path_.c_str());
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  bool made() const { return !path_.empty(); }
  std::string file(const std::string& name) {
    std::string path = concat(path_, "/", name);
    files_.insert(path);
    return path;
  }

 private:
  std::string path_;
  std::set<std::string> files_;
};

// Which disk a state is, by all of its sectors that differ from the base: equal disks have equal numbers.
class Fingerprint {
 public:
  Fingerprint() = default;
  // Of a disk that has what `below` has, and more. That one outlives it.
  static Fingerprint above(const Fingerprint& below) {
    Fingerprint print;
    print.below_ = &below;
    print.sum_ = below.sum_;
    return print;
  }

  void write(uint64_t offset, std::span<const std::byte> data) {
    for (size_t at = 0; at < data.size(); at += kSector) {
      const uint64_t sector = (offset + at) / kSector;
      const std::string_view bytes(reinterpret_cast<const char*>(&data[at]), kSector);  // SAFETY: bytes may be read
      const uint64_t now = mix(std::hash<std::string_view>()(bytes) ^ mix(sector));
      uint64_t& known = sectors_.try_emplace(sector, below_ != nullptr ? below_->known(sector) : 0).first->second;
      sum_ ^= known ^ now;
      known = now;
    }
  }
  uint64_t value() const { return sum_; }

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  uint64_t known(uint64_t sector) const {
    const auto found = sectors_.find(sector);
    return found != sectors_.end() ? found->second : 0;
  }

  const Fingerprint* below_ = nullptr;
  std::unordered_map<uint64_t, uint64_t> sectors_;
  uint64_t sum_ = 0;
};

std::string with_image(const std::string& command, const std::string& image) {
  std::string text;
  for (const char c : command) text += c == '%' ? concat("'", image, "'") : std::string(1, c);
  return text;
}

class CrashRun {
 public:
  CrashRun(const CrashOptions& options, const LogFile& log)
      : options_(options),
        log_(log),
        total_(count_states(log.entries(), options.most)),
        jobs_(options.parallel != 0 ? options.parallel : std::max(1u, std::thread::hardware_concurrency())),
        progress_("crash", std::max<uint64_t>(total_, 1)) {}

  Result<void> run() {
    if (!folder_.made()) return Error{ErrorKind::kIo, concat("a folder for images: ", errno_text(errno))};
    rolling_ = folder_.file("rolling");
    if (auto cloned = clone_image(options_.base, rolling_); !cloned) return cloned;
    for_each_state(log_.entries(), options_.most, options_.seed, [this](const CrashState& state) {
      result_ = visit(state);
      return result_.ok() && !failing_;
    });
    while (result_.ok() && !running_.empty()) result_ = wait_for_one();
    if (!result_) return result_;
    if (failing_) return report_failure();
    report();
    return {};
  }

 private:
  struct Check {
    CrashState state;
    uint64_t number = 0;
    std::string image;
  };

  Result<void> visit(const CrashState& state) {
    visited_++;
    progress_.show(visited_, fmt::format("{} of {} states, {} different", visited_, total_, seen_.size()));
    if (auto rolled = roll_to(state.flushed); !rolled) return rolled;
    auto number = fingerprint_of(state);
    if (!number) return number.error();
    if (!seen_.insert(number.value()).second) return {};
    while (running_.size() >= jobs_) {
      if (auto waited = wait_for_one(); !waited) return waited;
    }
    if (failing_) return {};
    Check check{.state = state, .number = visited_, .image = folder_.file(concat("state", visited_))};
    if (auto made = make_image(state, check.image); !made) return made;
    const auto pid = start(check.image);
    if (!pid) return pid.error();
    running_.emplace(pid.value(), std::move(check));
    return {};
  }

  // What is flushed is on the rolling image for good.
  Result<void> roll_to(size_t entry) {
    for (; rolled_ < entry; rolled_++) {
      const LoggedWrite& write = log_.entries()[rolled_];
      if (!write.writes()) continue;
      auto data = log_.read(write);
      if (!data) return data.error();
      if (auto written = write_image(rolling_, write.offset, data.value()); !written) return written;
      flushed_.write(write.offset, data.value());
    }
    return {};
  }

  // Calls write(offset, data) for what a state has beside what is flushed; of a torn write for its first half.
  template <class Write>
  Result<void> each_extra(const CrashState& state, Write write) const {
    for (const size_t i : state.extra) {
      auto data = log_.read(log_.entries()[i]);
      if (!data) return data.error();
      std::span<const std::byte> bytes(data.value());
      const bool torn = state.torn && i == state.extra.back();
      if (torn) bytes = bytes.first(std::max<size_t>(bytes.size() / 2 / kSector, 1) * kSector);
      if (Result<void> written = write(log_.entries()[i].offset, bytes); !written) return written;
    }
    return {};
  }

  Result<uint64_t> fingerprint_of(const CrashState& state) const {
    Fingerprint print = Fingerprint::above(flushed_);
    auto read = each_extra(state, [&](uint64_t offset, std::span<const std::byte> data) -> Result<void> {
      print.write(offset, data);
      return {};
    });
    if (!read) return read.error();
    return print.value();
  }

  Result<void> make_image(const CrashState& state, const std::string& image) const {
    if (auto cloned = clone_image(rolling_, image); !cloned) return cloned;
    return each_extra(
        state, [&](uint64_t offset, std::span<const std::byte> data) { return write_image(image, offset, data); });
  }

  Result<pid_t> start(const std::string& image) {
    const std::string command =
        concat("exec >'", folder_.file("said"), "' 2>&1 </dev/null\n", with_image(options_.check, image));
    const std::string limit = std::to_string(options_.seconds);
    std::array<const char*, 8> arguments{"timeout", "-k", "5", limit.c_str(), "sh", "-c", command.c_str(), nullptr};
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, "timeout", nullptr, nullptr, const_cast<char**>(arguments.data()), environ);
    if (error != 0) return Error{ErrorKind::kInternal, concat("timeout: ", errno_text(error))};
    return pid;
  }

  Result<void> wait_for_one() {
    int status = 0;
    const pid_t pid = ::wait(&status);
    if (pid < 0) return Error{ErrorKind::kInternal, concat("a check: ", errno_text(errno))};
    const auto found = running_.find(pid);
    if (found == running_.end()) return {};
    checked_++;
    Check check = std::move(found->second);
    running_.erase(found);
    if (status == 0) {
      ::unlink(check.image.c_str());
    } else if (!failing_ || check.number < failing_->number) {
      failing_ = std::move(check);
    }
    return {};
  }

  // Whether the check fails on the state. Nothing else runs.
  Result<bool> fails(const CrashState& state) {
    const std::string image = folder_.file("reduced");
    if (auto made = make_image(state, image); !made) return made.error();
    const auto pid = start(image);
    if (!pid) return pid.error();
    int status = 0;
    if (::waitpid(pid.value(), &status, 0) < 0) return Error{ErrorKind::kInternal, errno_text(errno)};
    checked_++;
    return status != 0;
  }

  // One write after the other is taken out, if the check fails without it as well.
  Result<CrashState> reduced(CrashState state) {
    for (size_t i = state.extra.size(); i-- > 0;) {
      if (log_.entries()[state.extra[i]].is(LogWritesEntry::kFua)) continue;
      CrashState smaller = state;
      smaller.torn = state.torn && i + 1 != state.extra.size();
      smaller.extra.erase(smaller.extra.begin() + static_cast<ptrdiff_t>(i));
      const auto failed = fails(smaller);
      if (!failed) return failed.error();
      if (failed.value()) state = std::move(smaller);
    }
    return state;
  }

  std::string last_mark(size_t before) const {
    for (size_t i = before; i-- > 0;) {
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

  Result<void> report_failure() {
    auto state = reduced(failing_->state);
    if (!state) return state.error();
    const auto still = fails(state.value());
    if (!still) return still.error();
    if (auto kept = make_image(state.value(), options_.keep); !kept) return kept;
    print_failure(state.value());
    return Error{ErrorKind::kIo, concat("crash: a state fails the check; its image is ", options_.keep)};
  }

  void print_failure(const CrashState& state) const {
    nlohmann::ordered_json json{{"states", total_},
                                {"checked", checked_},
                                {"flushed_entries", state.flushed},
                                {"mark", last_mark(state.flushed)},
                                {"image", options_.keep},
                                {"writes", nlohmann::ordered_json::array()}};
    std::vector<std::string> lines;
    for (size_t i = state.flushed; i < end_of_epoch(state); i++) {
      const LoggedWrite& write = log_.entries()[i];
      if (!write.writes()) continue;
      const bool there = std::find(state.extra.begin(), state.extra.end(), i) != state.extra.end();
      const bool torn = there && state.torn && i == state.extra.back();
      const char* const what = torn ? "torn" : there ? "there" : "missing";
      json["writes"].push_back(
          {{"entry", i + 1}, {"sector", write.offset / kSector}, {"bytes", write.length}, {"is", what}});
      lines.push_back(fmt::format("  entry {:<6} {:>8} bytes at sector {:<12} {}", i + 1, write.length,
                                  write.offset / kSector, what));
    }
    if (options_.json) return fmt::print("{}\n", json.dump());
    fmt::print("fails: everything up to entry {} is there{}, and behind it:\n", state.flushed,
               last_mark(state.flushed).empty() ? "" : concat(" (last mark: ", last_mark(state.flushed), ")"));
    for (const std::string& line : lines) fmt::print("{}\n", line);
  }

  void report() const {
    if (options_.json) {
      return fmt::print("{}\n",
                        nlohmann::ordered_json{{"states", total_}, {"checked", checked_}, {"failed", 0}}.dump());
    }
    fmt::print("{} states, {} different: all pass\n", total_, checked_);
  }

  const CrashOptions& options_;
  const LogFile& log_;
  const uint64_t total_;
  const unsigned jobs_;
  WorkFolder folder_;
  std::string rolling_;
  size_t rolled_ = 0;
  Fingerprint flushed_;  // of the rolling image
  std::set<uint64_t> seen_;
  std::map<pid_t, Check> running_;
  std::optional<Check> failing_;
  uint64_t visited_ = 0, checked_ = 0;
  Result<void> result_;
  Progress progress_;
};

}  // namespace

Result<void> run_crash(const CrashOptions& options) {
  auto log = LogFile::load(options.log);
  if (!log) return log.error();
  if (!log.value().damage().empty()) {
    fmt::print(stderr, "vblk: --log {}: {}; what is before it is used\n", options.log, log.value().damage());
  }
  return CrashRun(options, log.value()).run();
}

}  // namespace acrn
