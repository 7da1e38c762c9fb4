#include "dm/tools/bench/device.h"

#include <algorithm>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/tools/bench/pattern.h"
#include "dm/tools/session.h"

namespace acrn {
namespace {

// One job: its queue, and what is in flight there.
class QueueLoad {
 public:
  QueueLoad(DriverQueue& queue, const BenchOptions& options, WriteLedger* ledger, BenchRound& round)
      : queue_(queue),
        block_(options.block),
        time_kicks_(options.time_kicks),
        ledger_(ledger),
        round_(round),
        requests_(queue.depth()) {}

  Result<void> run(BenchPattern pattern, double seconds) {
    const auto end = BenchClock::now() + bench_duration(seconds);
    return drive([&](uint16_t tag, BenchClock::time_point now) {
      if (now >= end) return false;
      const bool read = pattern.next_is_read();
      uint64_t block = pattern.next_block();
      if (ledger_ != nullptr) {
        if (ledger_->failed()) return false;
        requests_[tag].claim = ledger_->claim(block, !read);
        block = requests_[tag].claim.block;
      }
      start(tag, read, block, now);
      return true;
    });
  }

  // Of the blocks [first, end).
  Result<void> read_back(uint64_t first, uint64_t end) {
    return drive([&](uint16_t tag, BenchClock::time_point now) {
      while (first < end && !ledger_->failed()) {
        Request& request = requests_[tag];
        request.claim = ledger_->claim(first++, false);
        if (request.claim.known) {
          start(tag, true, request.claim.block, now);
          return true;
        }
        ledger_->release(request.claim, false);
      }
      return false;
    });
  }

 private:
  struct Request {
    BenchClock::time_point start_time;
    bool read = true;
    WriteLedger::Claim claim;
  };

  void start(uint16_t tag, bool read, uint64_t block, BenchClock::time_point now) {
    requests_[tag].start_time = now;
    requests_[tag].read = read;
    if (ledger_ != nullptr && read) ledger_->clear(queue_.data(tag));
    if (ledger_ != nullptr && !read) ledger_->fill(requests_[tag].claim, queue_.data(tag));
    queue_.start(tag, read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, block * block_ / VIRTIO_BLK_SECTOR_SIZE, block_,
                 !read);
  }

  // Gives every free request to `next`, until that has no more to do for any.
  template <class Next>
  Result<void> drive(Next&& next) {
    const DriverQueue::Counters before = queue_.counters();
    const auto begin = BenchClock::now();
    unsigned in_flight = 0;
    for (unsigned tag = 0; tag < queue_.depth(); tag++) in_flight += next(static_cast<uint16_t>(tag), begin) ? 1 : 0;
    kick();
    while (in_flight > 0) {
      auto now = BenchClock::time_point{};
      const bool answered = queue_.reap([&](const DriverCompletion& done) {
        if (now == BenchClock::time_point{}) now = BenchClock::now();  // once for what is found together
        finish(done, now);
        if (!next(done.tag, now)) in_flight--;
      });
      if (!answered) return Error{ErrorKind::kInternal, "bench: the device does not answer"};
      kick();
    }
    round_.seconds = std::chrono::duration<double>(BenchClock::now() - begin).count();
    round_.kicks = queue_.counters().kicks - before.kicks;
    round_.interrupts = queue_.counters().interrupts - before.interrupts;
    return {};
  }

  void kick() {
    if (!time_kicks_) return queue_.kick();
    const uint64_t before = queue_.counters().kicks;
    const auto begin = BenchClock::now();
    queue_.kick();
    // The device may have wanted none.
    if (queue_.counters().kicks == before) return;
    round_.kick_time.add(static_cast<uint64_t>((BenchClock::now() - begin).count()));
  }

  void finish(const DriverCompletion& done, BenchClock::time_point now) {
    Request& request = requests_[done.tag];
    const bool good = done.status == VIRTIO_BLK_S_OK;
    if (good) {
      round_.latency.add(static_cast<uint64_t>((now - request.start_time).count()));
    } else if (round_.errors++ == 0) {
      round_.first_error = status_text(done.status);
    }
    if (ledger_ == nullptr) return;
    if (request.read && request.claim.known && good) {
      ledger_->check(request.claim, queue_.data(done.tag));
      round_.checked++;
    }
    // A failed write may have been carried out in part.
    ledger_->release(request.claim, request.read ? request.claim.known : good);
  }

  DriverQueue& queue_;
  uint32_t block_;
  bool time_kicks_;
  WriteLedger* ledger_;
  BenchRound& round_;
  std::vector<Request> requests_;
};

}  // namespace

DeviceLoad::DeviceLoad(LegacyDriver& driver, const BenchOptions& options, uint64_t bytes, unsigned jobs,
                       WriteLedger* ledger)
    : driver_(driver), options_(options), blocks_(bytes / options.block), ledger_(ledger), jobs_(jobs) {
  // Pages that were never touched are all the same one, which is faster than any real data.
  const std::vector<std::byte> filling(options.block, std::byte{0x5a});
  for (unsigned job = 0; job < jobs; job++) {
    DriverQueue& queue = driver.queue(job);
    for (unsigned tag = 0; tag < queue.depth(); tag++) {
      queue.data(static_cast<uint16_t>(tag)).copy_in(0, filling.data(), filling.size());
    }
  }
}

Result<BenchRound> DeviceLoad::run(double seconds, uint64_t seed, const BenchTick& tick) {
  return jobs_.run(
      [&](unsigned job, BenchRound& round) {
        QueueLoad load(driver_.queue(job), options_, ledger_, round);
        return load.run(BenchPattern(options_, blocks_, seed, job, jobs_.count()), seconds);
      },
      tick);
}

Result<BenchRound> DeviceLoad::read_back(const BenchTick& tick) {
  return jobs_.run(
      [&](unsigned job, BenchRound& round) {
        QueueLoad load(driver_.queue(job), options_, ledger_, round);
        return load.read_back(blocks_ * job / jobs_.count(), blocks_ * (job + 1) / jobs_.count());
      },
      tick);
}

}  // namespace acrn
