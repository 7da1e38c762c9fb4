// HsmVcpu: a virtual CPU's exits as the hypervisor hands them to the module: its slot of the request page, from FREE to
// FREE. One thread at a time exits; the hypervisor's calls come on any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <thread>

#include "acrn/base/mutex.h"
#include "tests/support/fake_hsm.h"

namespace acrn::test {

struct HsmAccess {
  uint32_t type = ACRN_IOREQ_TYPE_PORTIO;
  uint32_t direction = ACRN_IOREQ_DIR_READ;
  uint64_t address = 0, size = 0, value = 0;
};

class HsmVcpu {
 public:
  // Polling: the module is asked not to notify.
  HsmVcpu(HsmModule& module, unsigned index, bool polling = false)
      : module_(module), index_(index), polling_(polling) {}

  // Returns when the request is COMPLETE: what was read, as many bytes as were asked for (with a size of 0 or more than
  // 8, the whole field). nullopt: the virtual CPU does not run, or was ended; or its slot was not FREE, which is a
  // fault of the one that serves it.
  std::optional<uint64_t> access(const HsmAccess& access);

  std::optional<uint64_t> in(uint64_t port, unsigned size) { return access({.address = port, .size = size}); }
  bool out(uint64_t port, unsigned size, uint32_t value) {
    return access({.direction = ACRN_IOREQ_DIR_WRITE, .address = port, .size = size, .value = value}).has_value();
  }
  std::optional<uint64_t> read(uint64_t address, unsigned size) {
    return access({.type = ACRN_IOREQ_TYPE_MMIO, .address = address, .size = size});
  }
  bool write(uint64_t address, unsigned size, uint64_t value) {
    return access({ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_WRITE, address, size, value}).has_value();
  }

  // For the hypervisor.
  void run();       // exits may come
  void end();       // returns when no exit touches the request page; those that wait return nothing
  void finished();  // notify_request_finish

 private:
  HsmModule& module_;
  const unsigned index_;
  const bool polling_;
  Mutex mutex_;  // not held across upcall()
  CondVar changed_;
  bool running_ ACRN_GUARDED_BY(mutex_) = false;
  unsigned ends_ ACRN_GUARDED_BY(mutex_) = 0;
  bool in_upcall_ ACRN_GUARDED_BY(mutex_) = false;
};

// A thread that is this virtual CPU. A test that fails before join() ends it.
class HsmVcpuThread {
 public:
  template <class Body>
  HsmVcpuThread(HsmVcpu& vcpu, Body body) : vcpu_(&vcpu), thread_(std::move(body)) {}
  HsmVcpuThread(HsmVcpuThread&&) = default;
  ~HsmVcpuThread() {
    if (!thread_.joinable()) return;
    vcpu_->end();
    thread_.join();
  }
  void join() { thread_.join(); }

 private:
  HsmVcpu* vcpu_;
  std::thread thread_;
};

}  // namespace acrn::test
