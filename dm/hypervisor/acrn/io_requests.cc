#include "dm/hypervisor/acrn/io_requests.h"

#include <sys/mman.h>

#include <chrono>
#include <thread>

#include "acrn/base/check.h"
#include "dm/hypervisor/acrn/hsm_call.h"
#include "dm/hypervisor/vcpu_signal.h"

namespace acrn {
namespace {

uint64_t mask(uint64_t size) { return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1; }

bool is_power_of_two_up_to(uint64_t size, uint64_t most) {
  return size != 0 && size <= most && (size & (size - 1)) == 0;
}

// Each of these carries an access out. False: no device can be asked for such a one; it reads as ones.

bool access(acrn_pio_request& pio, ExitHandler& exits) {
  if (!is_power_of_two_up_to(pio.size, 4) || pio.address > UINT16_MAX) return false;
  const auto port = static_cast<uint16_t>(pio.address);
  const auto size = static_cast<unsigned>(pio.size);
  if (pio.direction == ACRN_IOREQ_DIR_WRITE) {
    exits.io_write(port, size, static_cast<uint32_t>(pio.value & mask(size)));
  } else {
    pio.value = static_cast<uint32_t>(exits.io_read(port, size) & mask(size));
  }
  return true;
}

bool access(acrn_mmio_request& mmio, ExitHandler& exits) {
  if (!is_power_of_two_up_to(mmio.size, 8)) return false;
  const auto size = static_cast<unsigned>(mmio.size);
  if (mmio.direction == ACRN_IOREQ_DIR_WRITE) {
    exits.memory_write(mmio.address, size, mmio.value & mask(size));
  } else {
    mmio.value = exits.memory_read(mmio.address, size) & mask(size);
  }
  return true;
}

bool access(acrn_pci_request& pci, ExitHandler& exits) {
  if (!is_power_of_two_up_to(pci.size, 4) || pci.bus > 0xff || pci.dev > 0x1f || pci.func > 7) return false;
  const PciAddress function{static_cast<uint8_t>(pci.bus), static_cast<uint8_t>(pci.dev),
                            static_cast<uint8_t>(pci.func)};
  const auto size = static_cast<unsigned>(pci.size);
  if (pci.direction == ACRN_IOREQ_DIR_WRITE) {
    exits.config_write(function, pci.reg, size, static_cast<uint32_t>(pci.value & mask(size)));
  } else {
    pci.value = static_cast<uint32_t>(exits.config_read(function, pci.reg, size) & mask(size));
  }
  return true;
}

template <class Request>
void carry_out(Request& shared, ExitHandler& exits) {
  Request request = shared;  // one copy decides
  if (!access(request, exits)) request.value = static_cast<decltype(request.value)>(mask(request.size));
  if (request.direction != ACRN_IOREQ_DIR_WRITE) shared.value = request.value;
}

}  // namespace

Result<std::unique_ptr<IoRequests>> IoRequests::create(HsmDevice& hsm) {
  static_assert(sizeof(acrn_io_request_buffer) == 4096 && sizeof(acrn_io_request) == 256);
  // Shared: a child that is forked does not get the page in our place.
  void* const page =
      ::mmap(nullptr, sizeof(acrn_io_request_buffer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return hsm_error("mmap of the request page");
  return std::unique_ptr<IoRequests>(new IoRequests(hsm, static_cast<acrn_io_request_buffer*>(page)));
}

IoRequests::~IoRequests() {
  ACRN_CHECK(!thread_.joinable());
  ::munmap(page_, sizeof(*page_));
}

Result<void> IoRequests::create_client() {
  client_ = hsm_call(hsm_, ACRN_IOCTL_CREATE_IOREQ_CLIENT);
  if (client_ < 0) return hsm_error("CREATE_IOREQ_CLIENT");
  return {};
}

Result<void> IoRequests::start(uint16_t vmid, ExitHandler& exits) {
  vmid_ = vmid;
  exits_ = &exits;
  install_kick_handler();
  const auto body = [this] { serve(); };
  return thread_.start("acrn requests", body, Thread::Inherit::kStarter, Thread::Kind::kVcpu);
}

void IoRequests::pause() {
  MutexLock lock(mutex_);
  if (gate_ == Gate::kOpen) gate_ = Gate::kHeld;
  while (answering_) changed_.wait(mutex_);
}

void IoRequests::resume() {
  MutexLock lock(mutex_);
  if (gate_ == Gate::kHeld) gate_ = Gate::kOpen;
  changed_.notify_all();
}

void IoRequests::stop() {
  {
    MutexLock lock(mutex_);
    gate_ = Gate::kStopped;
    changed_.notify_all();
  }
  if (thread_.joinable()) wake();
  thread_.join();
  if (client_ < 0) return;
  hsm_call(hsm_, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, static_cast<uintptr_t>(client_));
  client_ = -1;
}

// A module wakes who waits in it when the client is destroyed, but Linux's then looks at what it has just freed. So we
// try to get out by signals, each of which may come too early, and destroy the client under the thread only if they
// have no effect.
void IoRequests::wake() {
  constexpr unsigned kSignals = 50;
  for (unsigned i = 0; i < kSignals; i++) {
    thread_.kill(vcpu_signal());
    if (ended_.wait(std::chrono::milliseconds(10))) return;
  }
  hsm_call(hsm_, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, static_cast<uintptr_t>(client_));
}

// Waits while held. False: it is over.
bool IoRequests::enter() {
  MutexLock lock(mutex_);
  while (gate_ == Gate::kHeld) changed_.wait(mutex_);
  answering_ = gate_ == Gate::kOpen;
  return answering_;
}

void IoRequests::leave() {
  MutexLock lock(mutex_);
  answering_ = false;
  changed_.notify_all();
}

void IoRequests::serve() {
  constexpr unsigned kIdlePatience = 64;
  accept_kicks();
  unsigned idle = 0;  // times in turn that there was nothing
  while (!failed_) {
    const int attached = hsm_.call(ACRN_IOCTL_ATTACH_IOREQ_CLIENT, static_cast<uintptr_t>(client_));
    const int error = errno;
    if (!enter()) break;
    if (attached < 0 && error != EINTR) fail(concat("ATTACH_IOREQ_CLIENT: ", errno_text(error)));
    idle = answer_all() ? 0 : idle + 1;
    leave();
    // A module that does not wait must not cost a processor.
    if (idle > kIdlePatience) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ended_.signal();
}

// True: there was something.
bool IoRequests::answer_all() {
  bool any = false;
  for (unsigned vcpu = 0; vcpu < ACRN_IO_REQUEST_MAX && !failed_; vcpu++) any |= answer(vcpu);
  return any;
}

bool IoRequests::answer(unsigned vcpu) {
  acrn_io_request& slot = page_->req_slot[vcpu];
  // pairs with the module's release of PROCESSING: the request is there
  const auto processing = [&slot] {
    return __atomic_load_n(&slot.processed, __ATOMIC_ACQUIRE) == ACRN_IOREQ_STATE_PROCESSING;
  };
  if (!processing() || __atomic_load_n(&slot.kernel_handled, __ATOMIC_ACQUIRE) != 0) return false;
  // That could be the state of a request that the kernel has handled since, and the flag of the next one, which the
  // module is about to hand over.
  if (!processing()) return false;
  const uint32_t type = slot.type;
  switch (type) {
    case ACRN_IOREQ_TYPE_PORTIO: carry_out(slot.reqs.pio_request, *exits_); break;
    case ACRN_IOREQ_TYPE_MMIO: carry_out(slot.reqs.mmio_request, *exits_); break;
    case ACRN_IOREQ_TYPE_PCICFG: carry_out(slot.reqs.pci_request, *exits_); break;
    default: fail(concat("vCPU ", vcpu, ": a request of type ", type, ", which this program does not know")); break;
  }
  // What we have written is there when the module releases COMPLETE, which it does in this call.
  acrn_ioreq_notify done{};
  done.vmid = vmid_;
  done.vcpu = vcpu;
  if (hsm_call(hsm_, ACRN_IOCTL_NOTIFY_REQUEST_FINISH, &done) < 0) {
    fail(concat("vCPU ", vcpu, ": NOTIFY_REQUEST_FINISH: ", errno_text(errno)));
  }
  return true;
}

// Nothing is answered after that.
void IoRequests::fail(const std::string& what) {
  if (!failed_) exits_->cpu_failed(concat("ACRN: ", what));
  failed_ = true;
}

}  // namespace acrn
