// NbdExport: what all connections to one export share: what it is, and whether its server may have lost writes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "dm/block/sources/nbd/nbd_handle.h"

namespace acrn {

// Where the export is, and how patient its users are.
struct NbdPlace {
  std::string uri, name;                         // `name`: for messages
  std::chrono::seconds patience;                 // how long requests wait for a lost server; 0: they fail at once
  bool comes_back = true;                        // a server that is lost
  std::function<std::string()> last_words = {};  // of a server that is lost, if they can be had; any thread
};

// Any thread.
class NbdExport {
 public:
  NbdExport(NbdPlace place, const NbdFacts& facts) : place_(std::move(place)), facts_(facts), size_(facts.size) {}

  const NbdPlace& place() const { return place_; }
  const NbdFacts& facts() const { return facts_; }
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }  // bytes
  void set_size(uint64_t size) { size_.store(size, std::memory_order_relaxed); }

  // A write was acknowledged that is not stable. The number of them is what a flush that starts now covers.
  void note_write() { written_.fetch_add(1, std::memory_order_release); }
  uint64_t written() const { return written_.load(std::memory_order_acquire); }
  // Such a flush was answered. One that failed may have lost what it was for.
  void note_flush(uint64_t covered, int error) {
    if (error != 0) {
      writes_lost_.store(true, std::memory_order_release);
      return;
    }
    uint64_t before = flushed_.load(std::memory_order_relaxed);
    while (before < covered && !flushed_.compare_exchange_weak(before, covered, std::memory_order_acq_rel)) {
    }
  }
  // The server is gone, and with it what it had not made stable. True: writes may be lost, which is news.
  bool note_lost_server() {
    if (written() == flushed_.load(std::memory_order_acquire)) return false;
    return !writes_lost_.exchange(true, std::memory_order_acq_rel);
  }
  // From then on no flush can say that all is stable (docs/adr/0005, 0026).
  bool writes_lost() const { return writes_lost_.load(std::memory_order_acquire); }

 private:
  const NbdPlace place_;
  const NbdFacts facts_;
  std::atomic<uint64_t> size_, written_{0}, flushed_{0};
  std::atomic<bool> writes_lost_{false};
};

}  // namespace acrn
