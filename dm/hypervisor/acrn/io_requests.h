// IoRequests: the page through which ACRN hands over what virtual CPUs ask of devices, and the thread that answers. One
// slot for each virtual CPU; all are served by the one thread (<linux/acrn.h>, struct acrn_io_request).
#pragma once

#include <linux/acrn.h>

#include <memory>
#include <string>

#include "acrn/base/address.h"
#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/vm/hypervisor.h"
#include "dm/base/event.h"
#include "dm/base/thread.h"
#include "dm/hypervisor/acrn/hsm_device.h"

namespace acrn {

class IoRequests {
 public:
  // `hsm` outlives it; the VM is destroyed first.
  static Result<std::unique_ptr<IoRequests>> create(HsmDevice& hsm);
  ~IoRequests();

  uintptr_t page() const { return address_of(page_); }

  // The VM is there, and does not run yet.
  Result<void> create_client();
  // Answers the virtual CPUs of VM `vmid` until stop().
  Result<void> start(uint16_t vmid, ExitHandler& exits);
  // Returns when nothing is being answered. What comes waits for resume().
  void pause();
  void resume();
  // Ends the thread and the client. The virtual CPUs are paused.
  void stop();

 private:
  enum class Gate { kOpen, kHeld, kStopped };

  IoRequests(HsmDevice& hsm, acrn_io_request_buffer* page) : hsm_(hsm), page_(page) {}
  void serve();
  bool enter();
  void leave();
  bool answer_all();
  bool answer(unsigned vcpu);
  void wake();
  void fail(const std::string& what);

  HsmDevice& hsm_;
  acrn_io_request_buffer* const page_;  // shared with kernel and hypervisor
  int client_ = -1;                     // as the module numbers it; -1: there is none
  uint16_t vmid_ = 0;
  ExitHandler* exits_ = nullptr;
  bool failed_ = false;  // the thread's own

  Mutex mutex_;  // leaf
  CondVar changed_;
  Gate gate_ ACRN_GUARDED_BY(mutex_) = Gate::kOpen;
  bool answering_ ACRN_GUARDED_BY(mutex_) = false;
  Event ended_;
  Thread thread_;
};

}  // namespace acrn
