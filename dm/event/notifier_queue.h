// NotifierQueue: the notifiers of a loop whose handlers are to run. Any thread puts them on a stack; the loop takes the
// whole stack off and runs it in the order in which they were notified.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace acrn {

class NotifierQueue {
 public:
  // What a notifier has in the queue.
  class Entry {
   public:
    explicit Entry(std::function<void()> handler) : handler_(std::move(handler)) {}
    // Any thread.
    bool is_queued() const { return queued_.load(); }
    // On the loop: a run that the queue knows nothing of.
    void run() { handler_(); }

   private:
    friend class NotifierQueue;

    std::atomic<bool> queued_{false};
    Entry* next_ = nullptr;  // while it is on the stack
    std::function<void()> handler_;
  };

  NotifierQueue() { running_.reserve(kUsualEntries); }

  // Any thread. False: the entry is queued already. Its flag goes off before its handler looks for work, so nothing
  // that became visible before this call is missed; this exchange pairs with the one in run_all().
  bool push(Entry& entry) {
    if (entry.queued_.exchange(true, std::memory_order_acq_rel)) return false;
    entry.next_ = stack_.load(std::memory_order_relaxed);
    while (!stack_.compare_exchange_weak(entry.next_, &entry)) {  // sequentially consistent, see LoopOwner
    }
    return true;
  }
  // Any thread. Sequentially consistent, so that it can be the last look before a sleep.
  bool has_entries() const { return stack_.load() != nullptr; }
  // The same without an order: it may see an entry late.
  bool seems_to_have_entries() const { return stack_.load(std::memory_order_relaxed) != nullptr; }

  // On the loop. True: there was something to run.
  bool run_all() {
    take_stack();
    // A handler may end a notifier that is also in here; remove() clears its entry.
    for (size_t i = 0; i < running_.size(); i++) {
      if (running_[i] == nullptr) continue;
      running_[i]->queued_.exchange(false, std::memory_order_acq_rel);
      running_[i]->handler_();
    }
    const bool any = !running_.empty();
    running_.clear();
    return any;
  }
  // On the loop. The entry will not run any more.
  void remove(Entry& entry) {
    if (!entry.is_queued()) return;
    take_stack();
    std::replace(running_.begin(), running_.end(), &entry, static_cast<Entry*>(nullptr));
  }

 private:
  static constexpr size_t kUsualEntries = 256;  // a loop with more of them allocates once

  // Puts what is on the stack behind what is still to be run.
  void take_stack() {
    const size_t before = running_.size();
    for (Entry* each = stack_.exchange(nullptr); each != nullptr; each = each->next_) running_.push_back(each);
    std::reverse(running_.begin() + static_cast<ptrdiff_t>(before), running_.end());
  }

  std::atomic<Entry*> stack_{nullptr};  // whole stacks are taken off, so there is no ABA problem
  std::vector<Entry*> running_;         // taken off the stack, to be run
};

}  // namespace acrn
