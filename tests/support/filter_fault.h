// FilterFault: a backend over a backend that does what a FaultPlan says: fail, hold back, count. For tests of
// whatever is above. A plan is shared between the test (any thread) and the channels of one backend.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/block/blockif.h"

namespace acrn::test {

class FaultPlan {
 public:
  // The n-th request of the kind from now on (1: the next one) fails with this errno and does nothing else.
  void fail_nth(BlockOp op, unsigned n, int error);
  // Every request of the kind that touches [begin, end) fails so, until clear().
  void fail_range(BlockOp op, uint64_t begin, uint64_t end, int error);
  void clear();

  // From now on requests (of one kind, or all) are kept back, until release().
  void hold(std::optional<BlockOp> op = std::nullopt);
  void release();
  // Waits until that many are kept back.
  void wait_for_held(unsigned count);

  // Requests of the kind since the start, those that failed or are held among them.
  unsigned count(BlockOp op);

 private:
  friend class FaultChannel;
  struct Rule {
    BlockOp op;
    unsigned countdown;  // 0: a range
    uint64_t begin, end;
    int error;
  };
  struct Verdict {
    int error = 0;
    bool held = false;
  };

  Verdict judge(const BlockRequest& request);
  bool holding();
  void forget_held(unsigned count);
  void add(Notifier& notifier);
  void remove(Notifier& notifier);

  Mutex mutex_;  // leaf
  CondVar held_more_;
  std::vector<Rule> rules_ ACRN_GUARDED_BY(mutex_);
  std::array<unsigned, 5> counts_ ACRN_GUARDED_BY(mutex_){};
  bool holding_ ACRN_GUARDED_BY(mutex_) = false;
  std::optional<BlockOp> held_kind_ ACRN_GUARDED_BY(mutex_);
  unsigned held_ ACRN_GUARDED_BY(mutex_) = 0;
  std::vector<Notifier*> channels_ ACRN_GUARDED_BY(mutex_);
};

std::unique_ptr<BlockBackend> make_filter_fault(std::unique_ptr<BlockBackend> below, std::shared_ptr<FaultPlan> plan);

}  // namespace acrn::test
