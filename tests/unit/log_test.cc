#include "acrn/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <thread>

#include "dm/base/log_setup.h"
#include "dm/base/one_line.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

std::string read_all(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// stderr goes to a file while this lives. Made before setup_logging(), which looks whether it is a terminal.
class CapturedConsole {
 public:
  explicit CapturedConsole(const test::TempDir& directory) : path_(directory.path("stderr")), saved_(::dup(2)) {
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, 2);
    ::close(file);
  }
  ~CapturedConsole() {
    ::dup2(saved_, 2);
    ::close(saved_);
  }
  CapturedConsole(const CapturedConsole&) = delete;
  CapturedConsole& operator=(const CapturedConsole&) = delete;

  std::string text() const { return read_all(path_); }

 private:
  std::string path_;
  int saved_;
};

void set_up(const LoggerSetting& setting, const std::string& file = "") { EXPECT(setup_logging(setting, file).ok()); }

}  // namespace

TEST(the_console_prints_up_to_notice_by_default) {
  const test::TempDir directory;
  const CapturedConsole console(directory);
  set_up({});
  EXPECT(log_enabled(LogLevel::kNotice) && !log_enabled(LogLevel::kInfo));
  log(LogLevel::kError, "one");
  log(LogLevel::kWarning, "two");
  log(LogLevel::kNotice, "three {} %s");
  log(LogLevel::kInfo, "four");
  EXPECT_EQ(console.text(), "log_test: error: one\nlog_test: warning: two\nlog_test: notice: three {} %s\n");
}

TEST(each_channel_has_its_own_level) {
  const test::TempDir directory;
  const CapturedConsole console(directory);
  set_up({.console = 1, .disk = 5, .kmsg = {}}, directory.path("vm.log"));
  EXPECT(log_enabled(LogLevel::kDebug));
  log(LogLevel::kError, "bad");
  log(LogLevel::kDebug, "detail");
  EXPECT_EQ(console.text(), "log_test: error: bad\n");
  const std::string file = read_all(directory.path("vm.log"));
  EXPECT_CONTAINS(file, " error: bad\n");
  EXPECT_CONTAINS(file, " debug: detail\n");
  EXPECT_EQ(file.find('\x1b'), std::string::npos);
}

TEST(a_log_file_is_appended_to) {
  const test::TempDir directory;
  for (const char* line : {"first", "second"}) {
    set_up({.console = 1, .disk = 4, .kmsg = {}}, directory.path("vm.log"));
    log(LogLevel::kInfo, line);
  }
  EXPECT_CONTAINS(read_all(directory.path("vm.log")), "first");
  EXPECT_CONTAINS(read_all(directory.path("vm.log")), "second");
}

TEST(a_log_file_that_cannot_be_opened_is_a_warning_and_no_more) {
  const test::TempDir directory;
  const CapturedConsole console(directory);
  set_up({.console = {}, .disk = 4, .kmsg = {}}, directory.path("stderr") + "/vm.log");
  log(LogLevel::kNotice, "still here");
  EXPECT_CONTAINS(console.text(), "log_test: warning: a log channel is left out: ");
  EXPECT_CONTAINS(console.text(), "log_test: notice: still here\n");
}

TEST(the_kernel_log_is_used_or_left_out_with_a_warning) {
  const test::TempDir directory;
  const CapturedConsole console(directory);
  set_up({.console = 2, .disk = {}, .kmsg = 1});
  log(LogLevel::kInfo, "not for the kernel");
  const std::string text = console.text();
  EXPECT(text.empty() || text.find("left out: /dev/kmsg: ") != std::string::npos);
}

TEST(a_level_outside_one_to_five_is_refused) {
  for (const int level : {-1, 0, 6}) {
    const auto result = setup_logging({.console = {}, .disk = level, .kmsg = {}}, "");
    EXPECT(!result.ok());
    EXPECT(result.error().kind == ErrorKind::kUsage);
  }
}

TEST(text_from_outside_cannot_forge_a_line) {
  EXPECT_EQ(one_line("a\nb\x1b[0m\x7f ü"), "a\\x0ab\\x1b[0m\\x7f ü");
  const test::TempDir directory;
  const CapturedConsole console(directory);
  set_up({});
  log(LogLevel::kError, "x\nlog_test: error: forged");
  EXPECT_EQ(console.text(), "log_test: error: x\\x0alog_test: error: forged\n");
}

TEST(lines_of_several_threads_stay_whole) {
  const test::TempDir directory;
  set_up({.console = 1, .disk = 4, .kmsg = {}}, directory.path("vm.log"));
  const auto hundred_lines = [] {
    for (int line = 0; line < 100; line++) log(LogLevel::kInfo, "whole line");
  };
  std::array<std::thread, 4> threads;
  for (auto& thread : threads) thread = std::thread(hundred_lines);
  for (auto& thread : threads) thread.join();
  std::ifstream file(directory.path("vm.log"));
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    EXPECT(line.ends_with(" info: whole line"));
    lines++;
  }
  EXPECT_EQ(lines, 400);
}

}  // namespace acrn
