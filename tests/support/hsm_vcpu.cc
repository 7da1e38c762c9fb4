#include "tests/support/hsm_vcpu.h"

#include <atomic>
#include <thread>

namespace acrn::test {

std::optional<uint64_t> HsmVcpu::access(const HsmAccess& access) {
  const bool write = access.direction == ACRN_IOREQ_DIR_WRITE;
  if (write && module_.signal_async(access.type, access.address)) return access.value;
  MutexLock lock(mutex_);
  acrn_io_request_buffer* const page = module_.requests();
  if (!running_ || page == nullptr) return {};
  acrn_io_request& slot = page->req_slot[index_];
  const std::atomic_ref<uint32_t> state(slot.processed);
  if (state.load(std::memory_order_acquire) != ACRN_IOREQ_STATE_FREE) return {};
  slot.type = access.type;
  slot.completion_polling = polling_ ? 1 : 0;
  slot.reqs = {};
  // Requests to ports have the same fields at the same places.
  slot.reqs.mmio_request = {access.direction, 0, access.address, access.size, access.value};
  state.store(ACRN_IOREQ_STATE_PENDING, std::memory_order_release);

  const unsigned ends = ends_;  // it may run again before this thread looks
  in_upcall_ = true;
  lock.unlock();
  module_.upcall();
  lock.lock();
  in_upcall_ = false;
  changed_.notify_all();

  while (ends_ == ends && state.load(std::memory_order_acquire) != ACRN_IOREQ_STATE_COMPLETE) {
    if (polling_) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    } else {
      changed_.wait(mutex_);
    }
  }
  if (ends_ != ends) return {};
  const bool wide = slot.type == ACRN_IOREQ_TYPE_MMIO;
  const uint64_t value = wide ? slot.reqs.mmio_request.value : slot.reqs.pio_request.value;
  state.store(ACRN_IOREQ_STATE_FREE, std::memory_order_release);
  if (access.size == 0 || access.size >= sizeof(value)) return value;
  return value & ((uint64_t{1} << 8 * access.size) - 1);
}

void HsmVcpu::run() {
  MutexLock lock(mutex_);
  running_ = true;
}

void HsmVcpu::end() {
  MutexLock lock(mutex_);
  running_ = false;
  ends_++;
  changed_.notify_all();
  while (in_upcall_) changed_.wait(mutex_);
}

void HsmVcpu::finished() {
  MutexLock lock(mutex_);
  changed_.notify_all();
}

}  // namespace acrn::test
