// Progress: a bar on a terminal, nothing elsewhere. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace acrn {

class Progress {
 public:
  // `total` in bytes. Draws on stderr, if that is a terminal.
  Progress(std::string what, uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(uint64_t bytes);

 private:
  void draw();

  std::string what_;
  uint64_t total_, done_ = 0;
  bool terminal_;
  std::chrono::steady_clock::time_point begun_, drawn_;
};

}  // namespace acrn
