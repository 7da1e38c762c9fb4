// The hypervisor beneath Linux's own ACRN driver, for tests: takes its hypercalls from /dev/acrn_hypercalls and carries
// them out with KVM. RAM and request page are found in the device model's address space by their physical addresses,
// which takes root. One VM at a time; ends when it is killed.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/base/concat.h"
#include "tests/integration/acrn_driver/acrn_hypercalls.h"
#include "tests/support/kvm_hypervisor.h"

namespace acrn::test {
namespace {

constexpr uint64_t kPage = 4096;

// As drivers/virt/acrn/hypercall.h and acrn_drv.h have them.
enum Hypercall : uint64_t {
  kCreateVm = 0x8000'0010,
  kDestroyVm = 0x8000'0011,
  kStartVm = 0x8000'0012,
  kPauseVm = 0x8000'0013,
  kResetVm = 0x8000'0015,
  kSetVcpuRegs = 0x8000'0016,
  kInjectMsi = 0x8000'0023,
  kSetIrqline = 0x8000'0025,
  kSetIoreqBuffer = 0x8000'0030,
  kNotifyRequestFinish = 0x8000'0031,
  kSetMemoryRegions = 0x8000'0042,
};
struct MemoryRegionOp {
  uint32_t type, attributes;
  uint64_t user_vm_pa, service_vm_pa, size;
};

// Where a mapping of `pages` pages from `begin` on has the frame at `address`: bytes from its start.
std::optional<uint64_t> find_frame(int pagemap, uint64_t begin, uint64_t pages, uint64_t address) {
  constexpr uint64_t kFrameMask = (uint64_t{1} << 55) - 1;
  std::vector<uint64_t> frames(pages);
  const size_t size = pages * sizeof(uint64_t);
  if (::pread(pagemap, frames.data(), size, static_cast<off_t>(begin / kPage * sizeof(uint64_t))) !=
      static_cast<ssize_t>(size)) {
    return {};
  }
  for (uint64_t i = 0; i < pages; i++) {
    if ((frames[i] & kFrameMask) * kPage == address) return i * kPage;
  }
  return {};
}

// Maps what a process has mapped, shared, from physical address `address` on; null: it has not.
void* map_of_process(uint32_t process, uint64_t address, uint64_t size) {
  const std::string folder = concat("/proc/", process, "/");
  const UniqueFd pagemap(::open((folder + "pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  std::FILE* const maps = std::fopen((folder + "maps").c_str(), "re");
  void* found = nullptr;
  char line[512];
  while (maps != nullptr && found == nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    uint64_t begin, end, offset;
    char rights[5];
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64, &begin, &end, rights, &offset) != 4) continue;
    if (std::strcmp(rights, "rw-s") != 0 || end - begin < size) continue;
    const auto at = find_frame(pagemap.fd(), begin, (end - begin) / kPage, address);
    if (!at || end - begin - *at < size) continue;
    char name[64];
    std::snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, begin, end);
    const UniqueFd file(::open((folder + name).c_str(), O_RDWR | O_CLOEXEC));
    found = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), static_cast<off_t>(offset + *at));
    if (found == MAP_FAILED) found = nullptr;
  }
  if (maps != nullptr) std::fclose(maps);
  return found;
}

class Server final : public HsmModule {
 public:
  explicit Server(UniqueFd calls) : calls_(std::move(calls)) {}

  int run() {
    hypercall call{};
    while (::read(calls_.fd(), &call, sizeof(call)) == sizeof(call)) {
      call.result = carry_out(call);
      if (call.number != 0 && !send(call)) return 1;
    }
    std::perror("/dev/acrn_hypercalls");
    return 1;
  }

  acrn_io_request_buffer* requests() override { return page_; }
  void upcall() override { send(hypercall{}); }
  bool signal_async(uint32_t, uint64_t) override { return false; }

 private:
  template <class T>
  static T& data(hypercall& call) {
    static_assert(sizeof(T) <= sizeof(call.data));
    return *reinterpret_cast<T*>(call.data);
  }

  bool send(const hypercall& call) { return ::write(calls_.fd(), &call, sizeof(call)) == sizeof(call); }

  int64_t carry_out(hypercall& call) {
    if (call.id == kCreateVm) return create_vm(data<acrn_vm_creation>(call));
    if (!vm_) return -EINVAL;
    switch (call.id) {
      case kDestroyVm: return destroy_vm();
      case kStartVm: return vm_->start_vm();
      case kPauseVm: return vm_->pause_vm();
      case kResetVm: return reset_vm();
      case kSetVcpuRegs: return vm_->set_vcpu_regs(data<acrn_vcpu_regs>(call));
      case kInjectMsi: return vm_->inject_msi(data<acrn_msi_entry>(call).msi_addr, data<acrn_msi_entry>(call).msi_data);
      case kSetIrqline:
        return vm_->set_irqline(static_cast<uint32_t>(call.arguments[1]),
                                static_cast<uint32_t>(call.arguments[1] >> 32));
      case kSetIoreqBuffer: return set_page(call.process, data<uint64_t>(call));
      case kNotifyRequestFinish: return vm_->notify_request_finish(static_cast<unsigned>(call.arguments[1]));
      case kSetMemoryRegions: return add_memory(call.process, data<MemoryRegionOp>(call));
      default: return -EINVAL;
    }
  }

  int create_vm(acrn_vm_creation& creation) {
    if (vm_) return -EBUSY;
    vm_ = std::make_unique<KvmHypervisor>();
    vm_->attach(*this);
    const int result = vm_->create_vm(creation);
    if (result < 0) vm_.reset();
    return result;
  }

  int destroy_vm() {
    const int result = vm_->destroy_vm();
    if (result < 0) return result;  // it runs
    vm_.reset();
    for (const auto& [at, size] : mapped_) ::munmap(at, size);
    mapped_.clear();
    page_ = nullptr;
    return 0;
  }

  int reset_vm() {
    const int result = vm_->reset_vm();
    if (result >= 0) free_slots();
    return result;
  }

  void free_slots() {
    for (acrn_io_request& slot : page_->req_slot)
      __atomic_store_n(&slot.processed, ACRN_IOREQ_STATE_FREE, __ATOMIC_RELEASE);
  }

  void* map(uint32_t process, uint64_t address, uint64_t size) {
    void* const at = map_of_process(process, address, size);
    if (at != nullptr) mapped_.emplace_back(at, size);
    return at;
  }

  int set_page(uint32_t process, uint64_t address) {
    page_ = static_cast<acrn_io_request_buffer*>(map(process, address, kPage));
    if (page_ == nullptr) return -EFAULT;
    free_slots();
    return 0;
  }

  int add_memory(uint32_t process, const MemoryRegionOp& region) {
    void* const at = map(process, region.service_vm_pa, region.size);
    if (at == nullptr) return -EFAULT;
    acrn_vm_memmap memory{};
    memory.type = ACRN_MEMMAP_RAM;
    memory.attr = region.attributes;
    memory.user_vm_pa = region.user_vm_pa;
    memory.vma_base = reinterpret_cast<uintptr_t>(at);
    memory.len = region.size;
    return vm_->add_memory(memory);
  }

  const UniqueFd calls_;
  std::unique_ptr<KvmHypervisor> vm_;
  std::vector<std::pair<void*, uint64_t>> mapped_;
  acrn_io_request_buffer* page_ = nullptr;
};

}  // namespace
}  // namespace acrn::test

int main() {
  acrn::UniqueFd calls(::open("/dev/acrn_hypercalls", O_RDWR | O_CLOEXEC));
  if (!calls) {
    std::perror("/dev/acrn_hypercalls");
    return 1;
  }
  return acrn::test::Server(std::move(calls)).run();
}
