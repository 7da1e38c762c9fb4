// FaultyHsm: a device before another that writes down what is asked, and fails what a test wants failed. It is the
// owner's; HsmFaults is the test's, and outlives it. Any thread.
#pragma once

#include <cerrno>
#include <functional>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "acrn/base/mutex.h"
#include "tests/support/fake_hsm.h"
#include "tests/support/hsm_request_name.h"

namespace acrn::test {

class HsmFaults {
 public:
  static constexpr unsigned kAlways = ~0u;

  // The next `times` of that request fail without reaching the module, after `good` more that do.
  void fail(unsigned long request, int error, unsigned times = 1, unsigned good = 0) {
    MutexLock lock(mutex_);
    rules_.push_back({request, error, times, good});
  }
  // Called before each request, on its thread.
  void set_hook(std::function<void(unsigned long request, uintptr_t argument)> hook) { hook_ = std::move(hook); }

  // Names in order, failed ones among them.
  std::vector<std::string> trace() const {
    MutexLock lock(mutex_);
    return trace_;
  }
  // Those that are not part of running: no ATTACH, NOTIFY, SET_IRQLINE, INJECT_MSI.
  std::vector<std::string> control_trace() const {
    std::vector<std::string> names = trace();
    std::erase_if(names, [](const std::string& name) {
      return name == "ATTACH_IOREQ_CLIENT" || name == "NOTIFY_REQUEST_FINISH" || name == "SET_IRQLINE" ||
             name == "INJECT_MSI";
    });
    return names;
  }
  bool closed() const {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  friend class FaultyHsm;
  struct Rule {
    unsigned long request;
    int error;
    unsigned times, good;
  };

  // The error that this call has, or 0.
  int next(unsigned long request) {
    MutexLock lock(mutex_);
    trace_.push_back(hsm_request_name(request));
    for (Rule& rule : rules_) {
      if (rule.request != request || rule.times == 0) continue;
      if (rule.good > 0) {
        rule.good--;
        return 0;
      }
      if (rule.times != kAlways) rule.times--;
      return rule.error;
    }
    return 0;
  }

  mutable Mutex mutex_;  // leaf
  std::list<Rule> rules_ ACRN_GUARDED_BY(mutex_);
  std::vector<std::string> trace_ ACRN_GUARDED_BY(mutex_);
  bool closed_ ACRN_GUARDED_BY(mutex_) = false;
  std::function<void(unsigned long request, uintptr_t argument)> hook_ = [](unsigned long, uintptr_t) {};
};

class FaultyHsm final : public HsmDevice {
 public:
  FaultyHsm(FakeHsm& module, HsmFaults& faults) : module_(module), faults_(faults) {}
  ~FaultyHsm() override {
    module_.close();
    MutexLock lock(faults_.mutex_);
    faults_.closed_ = true;
  }
  int call(unsigned long request, uintptr_t argument) override {
    faults_.hook_(request, argument);
    if (const int error = faults_.next(request); error != 0) {
      errno = error;
      return -1;
    }
    return module_.call(request, argument);
  }

 private:
  FakeHsm& module_;
  HsmFaults& faults_;
};

}  // namespace acrn::test
