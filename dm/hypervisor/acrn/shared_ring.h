// A page with a ring in it that ACRN's hypervisor fills, for the calls that ACRN's own kernels have beyond
// <linux/acrn.h>: asynchronous I/O and VM events. Linux's header lacks them, so their numbers and layouts are here.
#pragma once

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "acrn/base/address.h"
#include "acrn/base/round.h"

namespace acrn {

inline constexpr unsigned long kSetupAsyncio = _IOW(0xA2, 0x90, uint64_t);
inline constexpr unsigned long kSetupVmEventRing = _IOW(0xA2, 0xa0, uint64_t);
inline constexpr unsigned long kSetupVmEventFd = _IOW(0xA2, 0xa1, int);
inline constexpr uint32_t kIoeventfdAsyncio = 0x08;  // a flag of acrn_ioeventfd

// Head and tail are offsets in bytes from the end of the header; equal: empty. One writer, one reader.
struct SharedRingHeader {
  uint64_t magic = 0x5aa5'7aa7'1aa1'3aa3;
  uint32_t elements = 0;
  uint32_t element_size = 0;  // bytes
  uint32_t head = 0;          // the reader's
  uint32_t tail = 0;          // the writer's
  uint64_t flags = 0;
  uint32_t overruns = 0;
  uint32_t size = 0;  // bytes: elements * element_size
  uint32_t padding[6] = {};
};
static_assert(sizeof(SharedRingHeader) == 64);

// An element of the ring of VM events: the type, a 32-bit number, and what belongs to it.
inline constexpr uint32_t kVmEventSize = 32;
enum VmEvent : uint32_t { kRtcChanged = 0, kPoweredOff = 1, kTripleFault = 2 };

class SharedRing {
 public:
  explicit SharedRing(uint32_t element_size)
      : elements_(static_cast<uint32_t>((kPageBytes - sizeof(SharedRingHeader)) / element_size)),
        page_(::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (page_ == MAP_FAILED) return;
    *header() = {.elements = elements_, .element_size = element_size, .size = elements_ * element_size};
  }
  ~SharedRing() {
    if (page_ != MAP_FAILED) ::munmap(page_, kPageBytes);
  }
  SharedRing(const SharedRing&) = delete;
  SharedRing& operator=(const SharedRing&) = delete;

  explicit operator bool() const { return page_ != MAP_FAILED; }
  uintptr_t address() const { return address_of(page_); }
  uint32_t elements() const { return elements_; }
  SharedRingHeader* header() const { return static_cast<SharedRingHeader*>(page_); }
  const std::byte* data() const { return static_cast<const std::byte*>(page_) + sizeof(SharedRingHeader); }

 private:
  const uint32_t elements_;
  void* const page_;
};

}  // namespace acrn
