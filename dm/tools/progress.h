// Progress: a bar on a terminal, nothing elsewhere. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace acrn {

class Progress {
 public:
  // `total` in bytes for advance(), in anything for show(). Draws on stderr, if that is a terminal.
  Progress(std::string what, uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(uint64_t bytes);
  // Where there is something other to say than a rate. `done` may be anything up to the total.
  void show(uint64_t done, std::string_view note);
  bool visible() const { return terminal_; }

 private:
  void draw(std::string_view note);

  std::string what_;
  uint64_t total_, done_ = 0;
  bool terminal_;
  std::chrono::steady_clock::time_point start_time_, drawn_;
};

}  // namespace acrn
