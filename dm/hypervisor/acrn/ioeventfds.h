// Ioeventfds: port writes that signal an eventfd without a request to us.
//
// Linux's module takes every access to an address that has an ioeventfd: a write whose data matches none is dropped. So
// an address has all of its doorbells there, or none.
#pragma once

#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/vm/hypervisor.h"
#include "dm/hypervisor/acrn/hsm_device.h"

namespace acrn {

class Ioeventfds {
 public:
  explicit Ioeventfds(HsmDevice& hsm) : hsm_(hsm) {}
  // With ACRN's asynchronous I/O the virtual CPU does not wait for the signal.
  void use_asyncio() { has_asyncio_ = true; }

  bool add(const Doorbell& doorbell);
  void remove(const Doorbell& doorbell);
  void remove_all();

 private:
  struct Entry {
    Doorbell doorbell;
    bool placed = false;  // else its writes are requests
    bool async = false;
  };
  void place(Entry& entry, bool async);
  void withdraw(Entry& entry);

  HsmDevice& hsm_;
  bool has_asyncio_ = false;
  Mutex mutex_;  // leaf
  std::vector<Entry> entries_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
