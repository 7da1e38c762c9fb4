// RemoteServer: another process that has a disk of ours, and how its users bear its loss.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace acrn {

// Any thread.
struct RemoteServer {
  std::string name;                              // of the disk, for messages
  std::chrono::seconds patience{0};              // how long requests wait for a lost server; 0: they fail at once
  bool comes_back = true;                        // else it is a child of ours that is not started again
  std::function<std::string()> last_words = {};  // of a lost one, if they can be had

  // It is lost. `number`: of such losses. `why`: ours to give it up; empty: it went by itself.
  void log_lost(uint64_t number, std::string_view why = "") const;
  // A server that is lost had acknowledged writes that it had not made stable.
  void log_lost_writes() const;
};

}  // namespace acrn
