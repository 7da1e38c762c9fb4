// NbdExport: what all connections to one export share: what it is, and whether its server may have lost writes.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "dm/block/sources/nbd/nbd_handle.h"
#include "dm/block/sources/remote_server.h"
#include "dm/block/sources/unflushed_writes.h"

namespace acrn {

// Where the export is.
struct NbdPlace {
  std::string uri;
  RemoteServer server;
};

// Any thread.
class NbdExport {
 public:
  NbdExport(NbdPlace place, const NbdFacts& facts) : place_(std::move(place)), facts_(facts), size_(facts.size) {}

  const std::string& uri() const { return place_.uri; }
  const RemoteServer& server() const { return place_.server; }
  const NbdFacts& facts() const { return facts_; }
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }  // bytes
  void set_size(uint64_t size) { size_.store(size, std::memory_order_relaxed); }

  UnflushedWrites& writes() { return writes_; }

 private:
  const NbdPlace place_;
  const NbdFacts facts_;
  std::atomic<uint64_t> size_;
  UnflushedWrites writes_;
};

}  // namespace acrn
