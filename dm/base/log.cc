// The log seam by spdlog, whose only home this is.
#include "acrn/base/log.h"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"
#include "dm/base/log_setup.h"
#include "dm/base/one_line.h"

namespace acrn {
namespace {

// The most talkative level that some channel prints. Relaxed: it guards no other data.
std::atomic<int> threshold{static_cast<int>(kDefaultConsoleLevel)};

constexpr spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kNotice: return spdlog::level::info;
    case LogLevel::kInfo: return spdlog::level::debug;
    case LogLevel::kDebug: return spdlog::level::trace;
  }
  return spdlog::level::err;
}

// spdlog has no "notice", so the names are ours: %* in the patterns below.
class LevelName final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    const std::string_view name = name_of(message.level);
    to.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelName>(); }

 private:
  static std::string_view name_of(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::warn: return "warning";
      case spdlog::level::info: return "notice";
      case spdlog::level::debug: return "info";
      case spdlog::level::trace: return "debug";
      default: return "error";
    }
  }
};

// One record per write, as /dev/kmsg wants it: "<priority>text".
class KmsgSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit KmsgSink(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  static constexpr size_t kMaxText = 900;  // the kernel refuses records of about 1000 bytes

  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), std::min(message.payload.size(), kMaxText));
    const std::string record =
        concat("<", priority(message.level), ">", program_invocation_short_name, ": ", text, "\n");
    // A record that the kernel does not take is lost; there is no better place to complain.
    [[maybe_unused]] const ssize_t written = ::write(fd_.fd(), record.data(), record.size());
  }
  void flush_() override {}

  static int priority(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::warn: return 4;
      case spdlog::level::info: return 5;
      case spdlog::level::debug: return 6;
      case spdlog::level::trace: return 7;
      default: return 3;
    }
  }

  UniqueFd fd_;
};

using Sinks = std::vector<spdlog::sink_ptr>;

void add_sink(Sinks& sinks, spdlog::sink_ptr sink, const char* pattern, LogLevel level) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('*').set_pattern(pattern);
  sink->set_formatter(std::move(formatter));
  sink->set_level(spdlog_level(level));
  sinks.push_back(std::move(sink));
}

void add_console(Sinks& sinks, LogLevel level) {
  const std::string pattern = concat(program_invocation_short_name, ": %^%*%$: %v");
  add_sink(sinks, std::make_shared<spdlog::sinks::stderr_color_sink_mt>(), pattern.c_str(), level);
}

// Returns why the channel cannot be had; empty if it is there.
std::string add_disk(Sinks& sinks, const std::string& file, LogLevel level) {
  try {
    add_sink(sinks, std::make_shared<spdlog::sinks::basic_file_sink_mt>(file), "%Y-%m-%d %H:%M:%S.%e %*: %v", level);
    return {};
  } catch (const spdlog::spdlog_ex& error) {
    return error.what();
  }
}

std::string add_kmsg(Sinks& sinks, LogLevel level) {
  UniqueFd fd(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return concat("/dev/kmsg: ", errno_text(errno));
  add_sink(sinks, std::make_shared<KmsgSink>(std::move(fd)), "%v", level);
  return {};
}

spdlog::logger& logger() {
  // Never destroyed: a thread may still log while the process ends.
  static spdlog::logger* const instance = [] {
    auto* created = new spdlog::logger("acrn-dm");
    created->set_level(spdlog::level::trace);
    created->flush_on(spdlog::level::trace);
    add_console(created->sinks(), kDefaultConsoleLevel);
    return created;
  }();
  return *instance;
}

}  // namespace

bool log_enabled(LogLevel level) { return static_cast<int>(level) <= threshold.load(std::memory_order_relaxed); }

void log(LogLevel level, std::string_view line) {
  if (!log_enabled(level)) return;
  const std::string text = one_line(line);
  logger().log(spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
}

Result<void> setup_logging(const LoggerSetting& setting, const std::string& file) {
  for (const auto& level : {setting.console, setting.disk, setting.kmsg}) {
    if (level && (*level < 1 || *level > 5)) {
      return Error{ErrorKind::kUsage, concat("log level ", *level, ": give 1 (error) to 5 (debug)")};
    }
  }
  const int console = setting.console.value_or(static_cast<int>(kDefaultConsoleLevel));
  Sinks sinks;
  std::vector<std::string> missing;
  add_console(sinks, static_cast<LogLevel>(console));
  if (setting.disk) missing.push_back(add_disk(sinks, file, static_cast<LogLevel>(*setting.disk)));
  if (setting.kmsg) missing.push_back(add_kmsg(sinks, static_cast<LogLevel>(*setting.kmsg)));

  logger().sinks() = std::move(sinks);
  threshold.store(std::max({console, setting.disk.value_or(0), setting.kmsg.value_or(0)}), std::memory_order_relaxed);
  for (const std::string& reason : missing) {
    if (!reason.empty()) log(LogLevel::kWarning, concat("a log channel is left out: ", reason));
  }
  return {};
}

}  // namespace acrn
