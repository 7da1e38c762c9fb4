#include "tests/support/fake_hsm.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <list>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"

namespace acrn::test {
namespace {

constexpr uint64_t kPage = 4096;
constexpr unsigned kRamRegions = 256;
constexpr uint16_t kNoVm = 0xffff;
constexpr uint32_t kIrqOperations = 4;
constexpr uint64_t kConfigAddress = 0xcf8, kConfigData = 0xcfc;
constexpr uint32_t kConfigEnable = 1u << 31;

bool mapped(uint64_t address, uint64_t length) {
  const uint64_t first = address & ~(kPage - 1);
  const uint64_t bytes = address - first + length;
  std::vector<unsigned char> resident(bytes / kPage + 1);
  // SAFETY: an address of this process that is only asked about.
  return ::mincore(reinterpret_cast<void*>(first), bytes, resident.data()) == 0;
}

template <class T>
bool fetch(uintptr_t argument, T& value) {
  if (!mapped(argument, sizeof(T))) return false;
  // SAFETY: mapped, and a T by the request's definition.
  std::memcpy(&value, reinterpret_cast<const void*>(argument), sizeof(T));
  return true;
}

// Which eventfd a descriptor is, whatever its number; or a negative errno.
int64_t eventfd_id(int fd) {
  if (::fcntl(fd, F_GETFD) < 0) return -EBADF;
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  constexpr std::string_view kField = "eventfd-id:";
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with(kField)) return std::stoll(line.substr(kField.size()));
  }
  return -EINVAL;
}

void ring(const UniqueFd& event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event.fd(), &one, sizeof(one));  // a counter that is full stands
}

void drain(const UniqueFd& event) {
  uint64_t count = 0;
  pollfd ready{event.fd(), POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) return;
  [[maybe_unused]] const ssize_t got = ::read(event.fd(), &count, sizeof(count));
}

// The kernel holds the eventfd itself, not its number.
struct EventFd {
  UniqueFd fd;
  int64_t id = -1;

  int hold(int number) {
    id = eventfd_id(number);
    if (id < 0) return static_cast<int>(id);
    fd = UniqueFd(::fcntl(number, F_DUPFD_CLOEXEC, 0));
    return fd ? 0 : -EMFILE;
  }
};

struct IoEvent {
  EventFd event;
  uint32_t type = 0;
  uint64_t address = 0;
  uint32_t length = 0;
  std::optional<uint64_t> data;  // absent: any
  bool async = false;
};

struct IrqEvent {
  EventFd event;
  acrn_msi_entry msi{};
};

// The device model's.
struct Client {
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // readable: something pending, or destroyed
  uint32_t pending = 0;                                     // a bit for each slot
  bool destroyed = false;

  void add(unsigned vcpu) {
    pending |= 1u << vcpu;
    ring(wake);
  }
  bool take(unsigned vcpu) {
    const bool had = (pending >> vcpu & 1) != 0;
    pending &= ~(1u << vcpu);
    if (pending == 0 && !destroyed) drain(wake);
    return had;
  }
  void destroy() {
    destroyed = true;
    ring(wake);
  }
};

std::atomic_ref<uint32_t> state_of(acrn_io_request& slot) { return std::atomic_ref<uint32_t>(slot.processed); }

// Who scans the page may look at the slot of a request of the kernel's that is over. Each store of an x86 is a release.
void give_to(acrn_io_request& slot, uint32_t kernel) {
  std::atomic_ref<uint32_t>(slot.kernel_handled).store(kernel, std::memory_order_release);
  state_of(slot).store(ACRN_IOREQ_STATE_PROCESSING, std::memory_order_release);
}

// What all kinds of requests have at the same place.
struct Access {
  uint32_t direction;
  uint64_t address, size, value;
};
Access access_of(const acrn_io_request& slot) {
  const auto& request = slot.reqs.mmio_request;
  if (slot.type == ACRN_IOREQ_TYPE_MMIO) return {request.direction, request.address, request.size, request.value};
  return {request.direction, request.address, request.size, slot.reqs.pio_request.value};
}

bool regs_are_clean(const acrn_vcpu_regs& regs) {
  const auto zero = [](const auto& words) { return std::ranges::all_of(words, [](auto word) { return word == 0; }); };
  const acrn_regs& r = regs.vcpu_regs;
  for (size_t i = 0; i < std::size(r.gdt.reserved); i++) {
    if (r.gdt.reserved[i] != 0 || r.idt.reserved[i] != 0) return false;
  }
  return zero(regs.reserved) && zero(r.reserved_32) && zero(r.reserved_64);
}

}  // namespace

struct FakeHsm::State {
  enum class Phase { kNone, kBusy, kVm, kGone };

  State(HsmHypervisor& below, FakeHsmOptions wanted) : hypervisor(below), options(wanted) {}

  int call(unsigned long request, uintptr_t argument);
  int create(uintptr_t argument);
  int destroy();
  int set_regs(uintptr_t argument);
  int set_memory(uintptr_t argument);
  int create_client();
  int destroy_client();
  int attach();
  int notify(uintptr_t argument);
  int clear();
  int ioeventfd(uintptr_t argument);
  int irqfd(uintptr_t argument);
  int setup_ring(uintptr_t argument, uint32_t element_size, HsmRing* State::*ring);

  void upcall();
  bool merge_config(acrn_io_request& slot) ACRN_REQUIRES(mutex);
  bool serve_ioevent(acrn_io_request& slot) ACRN_REQUIRES(mutex);
  bool complete(unsigned vcpu) ACRN_REQUIRES(mutex);
  int tell(uint32_t vcpus);
  void watch();

  HsmHypervisor& hypervisor;
  const FakeHsmOptions options;

  Mutex mutex;
  CondVar injected;
  Phase phase ACRN_GUARDED_BY(mutex) = Phase::kNone;
  acrn_io_request_buffer* page ACRN_GUARDED_BY(mutex) = nullptr;
  unsigned vcpus ACRN_GUARDED_BY(mutex) = 0;
  unsigned ram_regions ACRN_GUARDED_BY(mutex) = 0;
  uint32_t config_address ACRN_GUARDED_BY(mutex) = 0;
  std::shared_ptr<Client> client ACRN_GUARDED_BY(mutex);
  std::list<IoEvent> ioevents ACRN_GUARDED_BY(mutex);
  std::list<IrqEvent> irqevents ACRN_GUARDED_BY(mutex);
  int64_t injecting ACRN_GUARDED_BY(mutex) = -1;  // the id of an irqfd
  HsmRing* asyncio ACRN_GUARDED_BY(mutex) = nullptr;
  HsmRing* vm_events ACRN_GUARDED_BY(mutex) = nullptr;
  EventFd vm_event_fd ACRN_GUARDED_BY(mutex);
  unsigned strays ACRN_GUARDED_BY(mutex) = 0;

  // From the first IRQFD to DESTROY_VM.
  UniqueFd epoll, stop;
  std::thread watcher;
};

FakeHsm::FakeHsm(HsmHypervisor& hypervisor, FakeHsmOptions options)
    : state_(std::make_unique<State>(hypervisor, options)) {}

FakeHsm::~FakeHsm() { close(); }

void FakeHsm::close() { state_->destroy(); }

int FakeHsm::call(unsigned long request, uintptr_t argument) {
  const int result = state_->call(request, argument);
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

acrn_io_request_buffer* FakeHsm::requests() {
  MutexLock lock(state_->mutex);
  return state_->page;
}

void FakeHsm::upcall() { state_->upcall(); }

unsigned FakeHsm::stray_notifies() const {
  MutexLock lock(state_->mutex);
  return state_->strays;
}

int FakeHsm::State::call(unsigned long request, uintptr_t argument) {
  if (request == ACRN_IOCTL_CREATE_VM) return create(argument);
  {
    MutexLock lock(mutex);
    if (phase != Phase::kVm) return -EINVAL;
  }
  switch (request) {
    case ACRN_IOCTL_DESTROY_VM: return destroy();
    case ACRN_IOCTL_START_VM: return hypervisor.start_vm();
    case ACRN_IOCTL_PAUSE_VM: return hypervisor.pause_vm();
    case ACRN_IOCTL_RESET_VM: {
      const int result = hypervisor.reset_vm();
      MutexLock lock(mutex);
      if (result < 0 || page == nullptr) return result;
      for (acrn_io_request& slot : page->req_slot)
        state_of(slot).store(ACRN_IOREQ_STATE_FREE, std::memory_order_release);
      return result;
    }
    case ACRN_IOCTL_SET_VCPU_REGS: return set_regs(argument);
    case ACRN_IOCTL_SET_MEMSEG: return set_memory(argument);
    case ACRN_IOCTL_SET_IRQLINE: {
      const auto operation = static_cast<uint32_t>(argument >> 32);
      if (operation >= kIrqOperations) return -EINVAL;
      return hypervisor.set_irqline(static_cast<uint32_t>(argument), operation);
    }
    case ACRN_IOCTL_INJECT_MSI: {
      acrn_msi_entry msi{};
      if (!fetch(argument, msi)) return -EFAULT;
      return hypervisor.inject_msi(msi.msi_addr, msi.msi_data);
    }
    case ACRN_IOCTL_CREATE_IOREQ_CLIENT: return create_client();
    case ACRN_IOCTL_DESTROY_IOREQ_CLIENT: return destroy_client();
    case ACRN_IOCTL_ATTACH_IOREQ_CLIENT: return attach();
    case ACRN_IOCTL_NOTIFY_REQUEST_FINISH: return notify(argument);
    case ACRN_IOCTL_CLEAR_VM_IOREQ: return clear();
    case ACRN_IOCTL_IOEVENTFD: return ioeventfd(argument);
    case ACRN_IOCTL_IRQFD: return irqfd(argument);
    // Known, and refused by this hypervisor: it has no devices to give away and no power states.
    case ACRN_IOCTL_UNSET_MEMSEG:
    case ACRN_IOCTL_VM_INTR_MONITOR:
    case ACRN_IOCTL_SET_PTDEV_INTR:
    case ACRN_IOCTL_RESET_PTDEV_INTR:
    case ACRN_IOCTL_ASSIGN_PCIDEV:
    case ACRN_IOCTL_DEASSIGN_PCIDEV:
    case ACRN_IOCTL_PM_GET_CPU_STATE: return -EINVAL;
    default: break;
  }
  if (!options.newer_requests) return -ENOTTY;
  switch (request) {
    case kSetupAsyncio: return setup_ring(argument, sizeof(uint64_t), &State::asyncio);
    case kSetupVmEventRing: return setup_ring(argument, kVmEventSize, &State::vm_events);
    case kSetupVmEventFd: {
      EventFd event;
      if (const int held = event.hold(static_cast<int>(argument)); held < 0) return held;
      MutexLock lock(mutex);
      vm_event_fd = std::move(event);
      return 0;
    }
    default: return -ENOTTY;
  }
}

// One open file is good for one VM: the real module would never destroy a second one.
int FakeHsm::State::create(uintptr_t argument) {
  acrn_vm_creation creation{};
  if (!fetch(argument, creation)) return -EFAULT;
  if (creation.reserved0 != 0 || creation.reserved1 != 0) return -EINVAL;
  {
    MutexLock lock(mutex);
    if (phase != Phase::kNone) return -EINVAL;
    phase = Phase::kBusy;
  }
  const int created = hypervisor.create_vm(creation);
  bool good = created >= 0 && creation.vmid != kNoVm;
  if (good && (creation.ioreq_buf % kPage != 0 || !mapped(creation.ioreq_buf, kPage))) {
    hypervisor.destroy_vm();
    good = false;
  }
  MutexLock lock(mutex);
  phase = good ? Phase::kVm : Phase::kNone;
  if (!good) return -EINVAL;
  vcpus = std::min<unsigned>(creation.vcpu_num, ACRN_IO_REQUEST_MAX);
  // SAFETY: a page of this process that its owner keeps until the VM is destroyed.
  page = reinterpret_cast<acrn_io_request_buffer*>(creation.ioreq_buf);
  for (acrn_io_request& slot : page->req_slot) state_of(slot).store(ACRN_IOREQ_STATE_FREE, std::memory_order_release);
  // SAFETY: where it was fetched from.
  std::memcpy(reinterpret_cast<void*>(argument), &creation, sizeof(creation));
  return 0;
}

int FakeHsm::State::destroy() {
  std::list<IrqEvent> dropped;
  {
    MutexLock lock(mutex);
    if (phase != Phase::kVm) return 0;
    phase = Phase::kBusy;
    ioevents.clear();
    dropped.swap(irqevents);
    asyncio = vm_events = nullptr;
    vm_event_fd = {};
    if (client) client->destroy();
    client.reset();
    page = nullptr;
  }
  if (watcher.joinable()) {
    ring(stop);
    watcher.join();
    epoll.reset();
    stop.reset();
  }
  const int result = hypervisor.destroy_vm();
  MutexLock lock(mutex);
  phase = result < 0 ? Phase::kVm : Phase::kGone;
  return result;
}

int FakeHsm::State::set_regs(uintptr_t argument) {
  acrn_vcpu_regs regs{};
  if (!fetch(argument, regs)) return -EFAULT;
  return regs_are_clean(regs) ? hypervisor.set_vcpu_regs(regs) : -EINVAL;
}

int FakeHsm::State::set_memory(uintptr_t argument) {
  acrn_vm_memmap memory{};
  if (!fetch(argument, memory)) return -EFAULT;
  const bool ram = memory.type == ACRN_MEMMAP_RAM;
  if (!ram && memory.type != ACRN_MEMMAP_MMIO) return -EINVAL;
  if (memory.len == 0 || (memory.len | memory.user_vm_pa | memory.vma_base) % kPage != 0) return -EINVAL;
  if (ram) {
    if (!mapped(memory.vma_base, memory.len)) return -EFAULT;
    MutexLock lock(mutex);
    if (ram_regions == kRamRegions) return -ENOMEM;
    ram_regions++;
  }
  const int result = hypervisor.add_memory(memory);
  if (result < 0 && ram) {
    MutexLock lock(mutex);
    ram_regions--;
  }
  return result;
}

int FakeHsm::State::create_client() {
  MutexLock lock(mutex);
  if (client) return -EEXIST;
  client = std::make_shared<Client>();
  return 0;
}

int FakeHsm::State::destroy_client() {
  MutexLock lock(mutex);
  if (client) client->destroy();
  client.reset();
  return 0;
}

int FakeHsm::State::attach() {
  std::shared_ptr<Client> mine;
  {
    MutexLock lock(mutex);
    mine = client;
  }
  if (!mine) return -ENODEV;
  bool interrupted = false;
  for (;;) {
    {
      MutexLock lock(mutex);
      if (mine->destroyed) return -ENODEV;
      if (mine->pending != 0) return 0;
    }
    if (interrupted) return options.interrupt_is_error ? -EINTR : 0;
    pollfd wait{mine->wake.fd(), POLLIN, 0};
    interrupted = ::poll(&wait, 1, -1) < 0;
  }
}

int FakeHsm::State::notify(uintptr_t argument) {
  acrn_ioreq_notify finish{};
  if (!fetch(argument, finish)) return -EFAULT;
  if (finish.reserved != 0) return -EINVAL;
  const auto vcpu = static_cast<uint16_t>(finish.vcpu);
  {
    MutexLock lock(mutex);
    if (!client || page == nullptr) return 0;
    if (vcpu >= vcpus) return -EINVAL;
    if (!client->take(vcpu)) strays++;
    if (!complete(vcpu)) return 0;
  }
  return hypervisor.notify_request_finish(vcpu);
}

// The real one first gives its own clients, the ioeventfds', up to 100 ms: here they are never behind.
int FakeHsm::State::clear() {
  uint32_t done = 0;
  {
    MutexLock lock(mutex);
    if (!client || page == nullptr) return 0;
    for (unsigned vcpu = 0; vcpu < vcpus; vcpu++) {
      if (client->take(vcpu) && complete(vcpu)) done |= 1u << vcpu;
    }
  }
  tell(done);
  return 0;
}

// True: the hypervisor wants to be told.
bool FakeHsm::State::complete(unsigned vcpu) {
  acrn_io_request& slot = page->req_slot[vcpu];
  const bool polling = slot.completion_polling != 0;  // the slot is the hypervisor's after the store
  state_of(slot).store(ACRN_IOREQ_STATE_COMPLETE, std::memory_order_release);
  return !polling;
}

int FakeHsm::State::tell(uint32_t done) {
  int result = 0;
  for (unsigned vcpu = 0; vcpu < ACRN_IO_REQUEST_MAX; vcpu++) {
    if ((done >> vcpu & 1) != 0) result = std::min(result, hypervisor.notify_request_finish(vcpu));
  }
  return result;
}

void FakeHsm::State::upcall() {
  uint32_t done = 0;
  {
    MutexLock lock(mutex);
    for (unsigned vcpu = 0; page != nullptr && vcpu < vcpus; vcpu++) {
      acrn_io_request& slot = page->req_slot[vcpu];
      if (state_of(slot).load(std::memory_order_acquire) != ACRN_IOREQ_STATE_PENDING) continue;
      if (merge_config(slot) || serve_ioevent(slot)) {
        if (complete(vcpu)) done |= 1u << vcpu;
        continue;
      }
      if (!client) break;  // those behind it are not looked at either
      give_to(slot, 0);
      client->add(vcpu);
    }
  }
  tell(done);
}

// Ports 0xcf8 and 0xcfc. True: done; false: some client's, maybe as another type of request.
bool FakeHsm::State::merge_config(acrn_io_request& slot) {
  if (slot.type != ACRN_IOREQ_TYPE_PORTIO) return false;
  acrn_pio_request& port = slot.reqs.pio_request;
  const bool write = port.direction == ACRN_IOREQ_DIR_WRITE;
  if (port.address == kConfigAddress) {
    (write ? config_address : port.value) = write ? port.value : config_address;
    return true;
  }
  if (port.address < kConfigData || port.address >= kConfigData + 4) return false;
  if ((config_address & kConfigEnable) == 0) {
    if (!write) port.value = ~0u;
    return true;
  }
  const auto offset = static_cast<uint32_t>(port.address - kConfigData);
  slot.type = ACRN_IOREQ_TYPE_PCICFG;
  acrn_pci_request& config = slot.reqs.pci_request;  // direction, size and value are where they were
  config.bus = config_address >> 16 & 0xff;
  config.dev = config_address >> 11 & 0x1f;
  config.func = config_address >> 8 & 7;
  config.reg = (config_address & 0xfc) + (config_address >> 16 & 0xf00) + offset;
  return false;
}

// Addresses alone decide whose a request is. Data that no ioeventfd there wants is lost.
bool FakeHsm::State::serve_ioevent(acrn_io_request& slot) {
  if (slot.type != ACRN_IOREQ_TYPE_PORTIO && slot.type != ACRN_IOREQ_TYPE_MMIO) return false;
  const Access access = access_of(slot);
  const auto covers = [&](const IoEvent& io) {
    return !io.async && io.type == slot.type && access.address >= io.address &&
           access.address + access.size - 1 <= io.address + io.length - 1;
  };
  if (std::ranges::none_of(ioevents, covers)) return false;
  give_to(slot, 1);
  if (access.direction == ACRN_IOREQ_DIR_READ) {
    if (slot.type == ACRN_IOREQ_TYPE_MMIO) {
      slot.reqs.mmio_request.value = 0;
    } else {
      slot.reqs.pio_request.value = 0;
    }
    return true;
  }
  const auto wanted = std::ranges::find_if(ioevents, [&](const IoEvent& io) {
    return !io.async && io.type == slot.type && io.address == access.address && io.length >= access.size &&
           io.data.value_or(access.value) == access.value;
  });
  if (wanted != ioevents.end()) ring(wanted->event.fd);
  return true;
}

int FakeHsm::State::ioeventfd(uintptr_t argument) {
  acrn_ioeventfd wanted{};
  if (!fetch(argument, wanted)) return -EFAULT;
  if (wanted.reserved != 0) return -EINVAL;
  IoEvent io;
  io.async = options.newer_requests && (wanted.flags & kIoeventfdAsyncio) != 0;
  io.type = (wanted.flags & ACRN_IOEVENTFD_FLAG_PIO) != 0 ? ACRN_IOREQ_TYPE_PORTIO : ACRN_IOREQ_TYPE_MMIO;
  io.address = wanted.addr;
  io.length = wanted.len;
  if ((wanted.flags & ACRN_IOEVENTFD_FLAG_DATAMATCH) != 0) io.data = wanted.data;
  const bool remove = (wanted.flags & ACRN_IOEVENTFD_FLAG_DEASSIGN) != 0;
  if (!remove && !io.async) {
    if (wanted.addr + wanted.len < wanted.addr) return -EINVAL;
    if (wanted.len != 1 && wanted.len != 2 && wanted.len != 4 && wanted.len != 8) return -EINVAL;
  }
  if (const int held = io.event.hold(static_cast<int>(wanted.fd)); held < 0) return held;

  MutexLock lock(mutex);
  if (phase != Phase::kVm) return -EINVAL;
  if (io.async && asyncio == nullptr) return -ENODEV;
  if (remove) {
    // The oldest of that eventfd; only an asynchronous one is looked for by its address too.
    const auto found = std::ranges::find_if(ioevents, [&](const IoEvent& other) {
      if (other.event.id != io.event.id || other.async != io.async) return false;
      return !io.async || (other.type == io.type && other.address == io.address);
    });
    if (found != ioevents.end()) ioevents.erase(found);
    return found == ioevents.end() && io.async ? -EINVAL : 0;
  }
  const bool conflict = std::ranges::any_of(ioevents, [&](const IoEvent& other) {
    return other.async == io.async && other.event.id == io.event.id && other.address == io.address &&
           other.type == io.type && (!other.data || !io.data || *other.data == *io.data);
  });
  if (conflict) return -EEXIST;
  ioevents.push_back(std::move(io));
  return 0;
}

bool FakeHsm::signal_async(uint32_t type, uint64_t address) {
  MutexLock lock(state_->mutex);
  const auto found = std::ranges::find_if(
      state_->ioevents, [&](const IoEvent& io) { return io.async && io.type == type && io.address == address; });
  if (found == state_->ioevents.end()) return false;
  ring(found->event.fd);
  return true;
}

int FakeHsm::State::irqfd(uintptr_t argument) {
  acrn_irqfd wanted{};
  if (!fetch(argument, wanted)) return -EFAULT;
  IrqEvent irq;
  irq.msi = wanted.msi;
  if (const int held = irq.event.hold(wanted.fd); held < 0) return held;

  MutexLock lock(mutex);
  if (phase != Phase::kVm) return -EINVAL;
  const auto same =
      std::ranges::find_if(irqevents, [&](const IrqEvent& other) { return other.event.id == irq.event.id; });
  if ((wanted.flags & ACRN_IRQFD_FLAG_DEASSIGN) != 0) {
    if (same == irqevents.end()) return 0;
    ::epoll_ctl(epoll.fd(), EPOLL_CTL_DEL, same->event.fd.fd(), nullptr);
    drain(same->event.fd);  // goes with it
    irqevents.erase(same);
    while (injecting == irq.event.id) injected.wait(mutex);
    return 0;
  }
  if (same != irqevents.end()) return -EBUSY;
  if (!watcher.joinable()) {
    epoll = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    stop = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
    if (::epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, stop.fd(), &event) != 0) return -ENOMEM;
    // A signal of the process is for a thread that could have it in the real one.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    watcher = std::thread([this] { watch(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  // The counter is not read, so each write is an edge.
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = static_cast<uint64_t>(irq.event.id) + 1}};
  if (::epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, irq.event.fd.fd(), &event) != 0) return -ENOMEM;
  irqevents.push_back(std::move(irq));
  return 0;
}

void FakeHsm::State::watch() {
  for (;;) {
    epoll_event event{};
    if (::epoll_wait(epoll.fd(), &event, 1, -1) != 1) continue;
    if (event.data.u64 == 0) return;
    const auto id = static_cast<int64_t>(event.data.u64 - 1);
    acrn_msi_entry msi{};
    {
      MutexLock lock(mutex);
      const auto found = std::ranges::find_if(irqevents, [&](const IrqEvent& irq) { return irq.event.id == id; });
      if (found == irqevents.end()) continue;
      msi = found->msi;
      injecting = id;
    }
    hypervisor.inject_msi(msi.msi_addr, msi.msi_data);
    MutexLock lock(mutex);
    injecting = -1;
    injected.notify_all();
  }
}

int FakeHsm::State::setup_ring(uintptr_t argument, uint32_t element_size, HsmRing* State::*ring) {
  const auto elements = static_cast<uint32_t>((kPage - sizeof(HsmRing)) / element_size);
  const HsmRing expected{
      .magic = HsmRing::kMagic, .elements = elements, .element_size = element_size, .size = elements * element_size};
  HsmRing given{};
  if (argument % kPage != 0) return -EINVAL;
  if (!fetch(argument, given)) return -EFAULT;
  if (std::memcmp(&given, &expected, sizeof(given)) != 0) return -EINVAL;
  MutexLock lock(mutex);
  if (this->*ring != nullptr) return -EINVAL;
  // SAFETY: a page of this process that its owner keeps until the VM is destroyed.
  this->*ring = reinterpret_cast<HsmRing*>(argument);
  return 0;
}

bool FakeHsm::send_vm_event(uint32_t type, std::span<const std::byte> data) {
  MutexLock lock(state_->mutex);
  HsmRing* const events = state_->vm_events;
  if (events == nullptr) return false;
  const std::atomic_ref<uint32_t> head(events->head), tail(events->tail);
  const uint32_t at = tail.load(std::memory_order_relaxed);
  const uint32_t next = (at + events->element_size) % events->size;
  if (next == head.load(std::memory_order_acquire)) return false;  // pairs with the reader's release
  std::array<std::byte, kVmEventSize> event{};
  std::memcpy(event.data(), &type, sizeof(type));
  std::ranges::copy(data.first(std::min(data.size(), event.size() - sizeof(type))), event.begin() + sizeof(type));
  // SAFETY: the elements follow the ring's start, in the same page.
  std::memcpy(reinterpret_cast<std::byte*>(events + 1) + at, event.data(), event.size());
  tail.store(next, std::memory_order_release);  // pairs with the reader's acquire
  if (state_->vm_event_fd.fd) ring(state_->vm_event_fd.fd);
  return true;
}

}  // namespace acrn::test
