// LoopChannels: the channels of a source that has one connection, of whatever kind, for each loop.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "acrn/event/event_loop.h"

namespace acrn {

// `Connection` has submit(), as a BlockChannel. Any thread, but for what a loop's own thread does with its channels.
template <class Connection>
class LoopChannels {
 public:
  // Of a loop that has none yet, `make` makes the connection: Result<std::unique_ptr<Connection>>(bool first), where
  // `first` says that no other loop has one. It lives until the last of the loop's channels is closed.
  template <class Make>
  Result<std::unique_ptr<BlockChannel>> open(EventLoop& loop, Make make) {
    bool first = false;
    {
      MutexLock lock(mutex_);
      first = by_loop_.empty();
      if (const auto found = by_loop_.find(&loop); found != by_loop_.end()) {
        found->second.channels++;
        return channel(loop, *found->second.connection);
      }
    }
    Result<std::unique_ptr<Connection>> made = make(first);
    if (!made) return made.error();
    MutexLock lock(mutex_);
    Shared& shared = by_loop_[&loop];  // a loop opens its channels one after the other
    shared = {std::move(made).value(), 1};
    return channel(loop, *shared.connection);
  }

  template <class Body>
  void for_each_connection(Body body) {
    MutexLock lock(mutex_);
    for (const auto& [loop, shared] : by_loop_) body(*shared.connection);
  }

 private:
  struct Shared {
    std::unique_ptr<Connection> connection;
    unsigned channels = 0;
  };

  class Channel final : public BlockChannel {
   public:
    Channel(LoopChannels& all, EventLoop& loop, Connection& connection)
        : all_(all), loop_(loop), connection_(connection) {}
    ~Channel() override { all_.close(loop_); }
    void submit(std::span<BlockRequest* const> batch) override { connection_.submit(batch); }

   private:
    LoopChannels& all_;
    EventLoop& loop_;
    Connection& connection_;
  };

  std::unique_ptr<BlockChannel> channel(EventLoop& loop, Connection& connection) {
    return std::make_unique<Channel>(*this, loop, connection);
  }

  void close(EventLoop& loop) {
    std::unique_ptr<Connection> last;  // ends without the mutex
    MutexLock lock(mutex_);
    const auto found = by_loop_.find(&loop);
    if (--found->second.channels != 0) return;
    last = std::move(found->second.connection);
    by_loop_.erase(found);
  }

  Mutex mutex_;  // leaf; not held while a connection is made or ends
  std::map<EventLoop*, Shared> by_loop_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
