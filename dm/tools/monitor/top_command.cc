// vblk top: what the disks of a running machine do, until somebody has seen enough.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "dm/tools/commands.h"
#include "dm/tools/monitor/monitor_client.h"
#include "dm/tools/monitor/screen.h"
#include "dm/tools/monitor/top_view.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

class Top {
 public:
  Top(const TopOptions& options, MonitorClient client)
      : options_(options),
        client_(std::move(client)),
        interval_(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.interval))) {
    if (!options.json) screen_ = Screen::enter();
  }

  Result<void> run() {
    for (Clock::time_point due = Clock::now(); !done();) {
      const auto now = Clock::now();
      if (!client_.waits() && now >= due) {
        if (auto asked = client_.request(); !asked) return asked;
        due = std::max(due + interval_, now);
      }
      wait(due);
      if (client_.waits()) {
        auto sample = client_.receive();
        if (!sample) return sample.error();
        if (sample.value()) show(*std::move(sample).value());
      }
      if (!screen_) continue;
      const Screen::Event event = screen_->take_event();
      if (event == Screen::Event::kQuit) return {};
      if (event == Screen::Event::kResized) draw();
    }
    return {};
  }

 private:
  bool done() const { return options_.count != 0 && shown_ == options_.count; }

  // Until there is something to do. A client that waits looks from time to time how long it has done so.
  void wait(Clock::time_point due) {
    pollfd waits[] = {{.fd = client_.fd(), .events = POLLIN, .revents = 0},
                      {.fd = screen_ ? screen_->signals() : -1, .events = POLLIN, .revents = 0},
                      {.fd = screen_ ? Screen::keys() : -1, .events = POLLIN, .revents = 0}};
    const auto left = client_.waits() ? std::chrono::seconds(1) : std::max<Clock::duration>(due - Clock::now(), {});
    ::poll(waits, std::size(waits), static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
  }

  void show(MonitorSample sample) {
    earlier_ = std::exchange(later_, std::move(sample));
    if (screen_) draw();
    if (!earlier_) return;  // there is no interval yet
    shown_++;
    if (options_.json) {
      fmt::print("{}\n", top_json(*earlier_, *later_).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    } else if (!screen_) {
      if (shown_ == 1) fmt::print("{}\n", top_header());
      for (const std::string& line : top_lines(*earlier_, *later_, time_of_day())) fmt::print("{}\n", line);
    }
    std::fflush(stdout);
  }

  void draw() {
    if (!later_) return;
    const Screen::Size size = screen_->size();
    screen_->draw(top_frame(earlier_ ? *earlier_ : *later_, *later_,
                            {.columns = size.columns,
                             .rows = size.rows,
                             .unicode = unicode_,
                             .interval = options_.interval,
                             .clock = time_of_day()}));
  }

  const TopOptions options_;
  MonitorClient client_;
  const Clock::duration interval_;
  const bool unicode_ = output_is_unicode();
  std::optional<MonitorSample> earlier_, later_;
  uint64_t shown_ = 0;  // intervals
  std::unique_ptr<Screen> screen_;
};

}  // namespace

Result<void> run_top(const TopOptions& options) {
  auto client = MonitorClient::connect("top", options.socket);
  if (!client) return client.error();
  return Top(options, std::move(client).value()).run();
}

}  // namespace acrn
