// BackEndLink: keeps a connection to a back end. A thread of its own waits for the connection's end, and makes the next
// one; the loops that use the queues are told of both.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "dm/base/thread.h"
#include "dm/block/sources/remote_server.h"
#include "dm/block/sources/unflushed_writes.h"
#include "dm/block/sources/vhost_user/back_end_connection.h"

namespace acrn {

// Where the back end is, and how it is used.
struct BackEndPlace {
  std::string path;     // the socket
  unsigned queues = 1;  // how many of its queues are used
  bool share = false;   // it sees the guest's memory
  RemoteServer server;
};

// Any thread.
class BackEndLink {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts the queues of a connection that has just been opened. Errors: as BackEndConnection::start().
  static Result<std::unique_ptr<BackEndLink>> create(BackEndPlace place, std::unique_ptr<BackEndConnection> connection);
  ~BackEndLink();
  BackEndLink(const BackEndLink&) = delete;
  BackEndLink& operator=(const BackEndLink&) = delete;

  const RemoteServer& server() const { return place_.server; }
  unsigned queues() const { return place_.queues; }
  const BackEndFacts& facts() const { return facts_; }                     // but for the size
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }  // bytes
  Result<uint64_t> refresh_size();
  UnflushedWrites& writes() { return writes_; }
  // As BlockBackend::use_memory().
  void use_memory(const std::shared_ptr<const MemoryMap>& memory);

  // The connection that there is; null: none. Whoever has one lets go of it when there is another one or none, and
  // until all have, no new one is made: what it answered is accounted for then.
  std::shared_ptr<BackEndConnection> connection();
  // There is none, and there has not been one for as long as requests are to wait.
  bool is_overdue();
  // One of its queues that nobody uses; null: there is none. To be given back.
  std::optional<unsigned> take_queue();
  void give_back(unsigned queue);
  // `changed` is notified when that becomes another one, or none.
  void attach(Notifier& changed);
  void detach(Notifier& changed);
  // That connection is of no more use. One line.
  void give_up(BackEndConnection& connection, std::string_view why);

 private:
  BackEndLink(BackEndPlace place, std::unique_ptr<BackEndConnection> connection)
      : place_(std::move(place)),
        facts_(connection->facts()),
        size_(facts_.size),
        connection_(std::move(connection)),
        is_taken_(place_.queues) {}

  void run();
  bool rest(std::chrono::milliseconds time) const;
  void wait_for_end(BackEndConnection& connection) const;
  void lose(std::shared_ptr<BackEndConnection> connection);
  bool renew();
  bool is_the_same(const BackEndFacts& facts) const;
  void notify_all() ACRN_REQUIRES(mutex_);

  const BackEndPlace place_;
  const BackEndFacts facts_;
  std::atomic<uint64_t> size_;
  UnflushedWrites writes_;
  UniqueFd stop_;  // an eventfd, signalled for good
  Thread thread_;
  uint64_t losses_ = 0;   // of the thread
  bool refused_ = false;  // a back end that came back was, which was told of; of the thread
  Mutex mutex_;           // leaf; held across doorbells
  std::shared_ptr<BackEndConnection> connection_ ACRN_GUARDED_BY(mutex_);
  std::shared_ptr<const MemoryMap> memory_ ACRN_GUARDED_BY(mutex_);  // that it is to see; null: none
  std::string why_ ACRN_GUARDED_BY(mutex_);                          // it was given up
  Clock::time_point down_since_ ACRN_GUARDED_BY(mutex_){};
  std::vector<Notifier*> attached_ ACRN_GUARDED_BY(mutex_);
  std::vector<bool> is_taken_ ACRN_GUARDED_BY(mutex_);  // of the queues
};

}  // namespace acrn
