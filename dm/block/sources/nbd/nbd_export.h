// NbdExport: what all connections to one export share: what it is, and whether its server may have lost writes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "dm/block/sources/nbd/nbd_handle.h"
#include "dm/block/sources/unflushed_writes.h"

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

  UnflushedWrites& writes() { return writes_; }
  const UnflushedWrites& writes() const { return writes_; }

 private:
  const NbdPlace place_;
  const NbdFacts facts_;
  std::atomic<uint64_t> size_;
  UnflushedWrites writes_;
};

}  // namespace acrn
