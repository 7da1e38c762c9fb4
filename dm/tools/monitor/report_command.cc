// vblk report: a look at a running machine for some seconds, as a page.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/tools/commands.h"
#include "dm/tools/monitor/html_report.h"
#include "dm/tools/monitor/monitor_client.h"
#include "dm/tools/progress.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSamples = 60, kShortest = 0.2;  // seconds

std::string date_and_time() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}-{:02}-{:02} {:02}:{:02}:{:02} UTC", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

Result<std::vector<MonitorSample>> take_samples(MonitorClient& client, double seconds) {
  const double interval = std::max(seconds / kSamples, kShortest);
  const auto begin = Clock::now();
  std::vector<MonitorSample> samples;
  Progress progress("looking", static_cast<uint64_t>(seconds * 1000));
  for (;;) {
    auto sample = client.take();
    if (!sample) return sample.error();
    samples.push_back(std::move(sample).value());
    const double passed = std::chrono::duration<double>(Clock::now() - begin).count();
    progress.show(static_cast<uint64_t>(passed * 1000), fmt::format("{:.0f} of {:g} s", passed, seconds));
    if (samples.size() > 1 && passed >= seconds - interval / 2) return samples;
    const double due = std::min(static_cast<double>(samples.size()) * interval, seconds);
    std::this_thread::sleep_until(begin +
                                  std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(due)));
  }
}

// A reader of the file sees the old page or the new one.
Result<void> write_page(const std::string& path, const std::string& page) {
  const auto failed = [&](int error) {
    return Error{ErrorKind::kIo, concat("--html ", path, ": ", errno_text(error))};
  };
  if (path == "-") {
    if (std::fwrite(page.data(), 1, page.size(), stdout) != page.size()) return failed(errno);
    return {};
  }
  struct stat there {};
  const bool in_place = ::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode);
  const std::string written = in_place ? path : concat(path, ".new");
  std::FILE* const file = std::fopen(written.c_str(), "we");
  if (file == nullptr) return failed(errno);
  bool good = std::fwrite(page.data(), 1, page.size(), file) == page.size();
  good = std::fclose(file) == 0 && good;
  if (good && (in_place || std::rename(written.c_str(), path.c_str()) == 0)) return {};
  const int error = errno;
  if (!in_place) ::unlink(written.c_str());
  return failed(error);
}

}  // namespace

Result<void> run_report(const ReportOptions& options) {
  auto client = MonitorClient::connect("report", options.socket);
  if (!client) return client.error();
  auto samples = take_samples(client.value(), options.seconds);
  if (!samples) return samples.error();
  if (auto written = write_page(options.html, html_report(samples.value(), date_and_time())); !written) return written;
  if (options.html != "-") {
    const size_t disks = samples.value().back().disks.size();
    fmt::print("{}: {} disk{}, {} samples\n", options.html, disks, disks == 1 ? "" : "s", samples.value().size());
  }
  return {};
}

}  // namespace acrn
