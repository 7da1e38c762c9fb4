#include "dm/tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace acrn {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr unsigned kWidth = 30;

}  // namespace

Progress::Progress(std::string what, uint64_t total)
    : what_(std::move(what)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_time_(std::chrono::steady_clock::now()),
      drawn_(start_time_) {}

Progress::~Progress() {
  if (terminal_) fmt::print(stderr, "\r\033[K");
}

void Progress::advance(uint64_t bytes) {
  done_ += bytes;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - drawn_ < kRedraw) return;
  drawn_ = now;
  draw(fmt::format("{:.0f} MB/s",
                   static_cast<double>(done_) / 1e6 / std::chrono::duration<double>(now - start_time_).count()));
}

void Progress::show(uint64_t done, std::string_view note) {
  done_ = std::min(done, total_);
  if (terminal_) draw(note);
}

void Progress::draw(std::string_view note) {
  const double part = total_ == 0 ? 1.0 : static_cast<double>(done_) / static_cast<double>(total_);
  const auto filled = static_cast<unsigned>(part * kWidth);
  fmt::print(stderr, "\r{} [{:=<{}}{: <{}}] {:3.0f} % {}\033[K", what_, "", filled, "", kWidth - filled, part * 100,
             note);
  std::fflush(stderr);
}

}  // namespace acrn
