#include "dm/hypervisor/acrn/ioeventfds.h"

#include "dm/hypervisor/acrn/hsm_call.h"
#include "dm/hypervisor/acrn/shared_ring.h"

namespace acrn {
namespace {

bool same_address(const Doorbell& a, const Doorbell& b) { return a.port == b.port && a.size == b.size; }

acrn_ioeventfd request_for(const Doorbell& doorbell, bool async, uint32_t flags) {
  acrn_ioeventfd request{};
  request.fd = static_cast<uint32_t>(doorbell.event_fd);
  request.flags = ACRN_IOEVENTFD_FLAG_PIO | ACRN_IOEVENTFD_FLAG_DATAMATCH | (async ? kIoeventfdAsyncio : 0) | flags;
  request.addr = doorbell.port;
  request.len = doorbell.size;
  request.data = doorbell.data;
  return request;
}

}  // namespace

bool Ioeventfds::add(const Doorbell& doorbell) {
  MutexLock lock(mutex_);
  Entry entry{.doorbell = doorbell};
  bool alone = true, wanted = true;
  for (Entry& other : entries_) {
    if (!same_address(other.doorbell, doorbell)) continue;
    alone = false;
    if (other.async) {  // which looks at the address alone, so it would take ours, too
      withdraw(other);
      place(other, false);
    }
    wanted &= other.placed;
  }
  if (wanted && alone && has_asyncio_) place(entry, true);
  if (wanted && !entry.placed) place(entry, false);
  for (Entry& other : entries_) {
    if (!entry.placed && other.placed && same_address(other.doorbell, doorbell)) withdraw(other);
  }
  entries_.push_back(entry);
  return entry.placed;
}

void Ioeventfds::remove(const Doorbell& doorbell) {
  MutexLock lock(mutex_);
  std::erase_if(entries_, [&](Entry& entry) {
    if (!(entry.doorbell == doorbell)) return false;
    if (entry.placed) withdraw(entry);
    return true;
  });
}

void Ioeventfds::remove_all() {
  MutexLock lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.placed) withdraw(entry);
  }
  entries_.clear();
}

void Ioeventfds::place(Entry& entry, bool async) {
  acrn_ioeventfd request = request_for(entry.doorbell, async, 0);
  entry.placed = hsm_call(hsm_, ACRN_IOCTL_IOEVENTFD, &request) >= 0;
  entry.async = async && entry.placed;
}

void Ioeventfds::withdraw(Entry& entry) {
  acrn_ioeventfd request = request_for(entry.doorbell, entry.async, ACRN_IOEVENTFD_FLAG_DEASSIGN);
  hsm_call(hsm_, ACRN_IOCTL_IOEVENTFD, &request);
  entry.placed = false;
}

}  // namespace acrn
