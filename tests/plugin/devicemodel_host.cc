#include "tests/plugin/devicemodel_host.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "dm/mem/guest_ram.h"
#include "tests/support/library_host.h"
#include "tests/support/test.h"

extern "C" {
#include "tests/plugin/acrn_devicemodel/monitor.h"
#include "tests/plugin/acrn_devicemodel/pci_core.h"
#include "tests/plugin/acrn_devicemodel/vmmapi.h"

extern struct pci_vdev_ops* const pci_vdev_ops_set_member;
}

namespace acrn::test {
namespace {

constexpr uint64_t kRam = 64 << 20;  // bytes

struct Vm : vmctx {
  MemoryRegion ram;
  std::mutex mutex;
  std::vector<acrn_ioeventfd> doorbells;
};

struct Function : pci_vdev {
  Function(IrqPin& pin, MsiSink& msi) : pci_vdev{}, pci(pin, msi) {}
  HostPci pci;
  std::map<int, uint8_t> bytes;  // of configuration space, as the adapter sets them
  int msix_vectors = 0;
  uint64_t register_bar = 0;  // bytes
};

HostPci& pci_of(pci_vdev* dev) { return static_cast<Function*>(dev)->pci; }

monitor_vm_ops* rescan_ops = nullptr;
void* rescan_context = nullptr;

MemoryRegion make_ram() {
  auto ram = create_guest_ram(Gpa{0}, kRam);
  if (!ram) throw Failure{"ram", ram.error().message};
  return std::move(ram).value();
}

// The board has the same RAM, without its first megabyte.
MemoryRegion above_first_megabyte(MemoryRegion ram) {
  ram.base = Gpa{LoopbackMachine::kRamBase};
  ram.host += LoopbackMachine::kRamBase;
  ram.size -= LoopbackMachine::kRamBase;
  return ram;
}

}  // namespace

struct DeviceModelHost::Machine {
  explicit Machine(std::string disk) : options(std::move(disk)) {
    vm.ram = make_ram();
    vm.baseaddr = reinterpret_cast<char*>(vm.ram.host);
    vm.highmem_gpa_base = uint64_t{4} << 30;
    board = std::make_unique<LoopbackMachine>(above_first_megabyte(vm.ram));
    function = std::make_unique<Function>(board->pin(kAddress), board->msi());
    function->dev_ops = pci_vdev_ops_set_member;
    function->vmctx = &vm;
    function->slot = kAddress.slot;
  }

  bool init() {
    function->bytes.clear();
    std::string own = options;  // which the adapter may write to
    if (function->dev_ops->vdev_init(&vm, function.get(), own.data()) != 0) return false;
    const auto word = [&](int at) { return static_cast<uint16_t>(function->bytes[at] | function->bytes[at + 1] << 8); };
    function->pci.set_identity({.vendor = word(0),
                                .device = word(2),
                                .class_code = uint32_t{function->bytes[0xb]} << 16,
                                .subsystem_vendor = word(0x2c),
                                .subsystem = word(0x2e),
                                .interrupt_pin = 1});
    function->pci.add_register_bar(static_cast<uint32_t>(function->register_bar));
    function->pci.add_msix(static_cast<unsigned>(function->msix_vectors));
    function->pci.seal();
    return true;
  }
  void deinit() { function->dev_ops->vdev_deinit(&vm, function.get(), options.data()); }

  std::string options;
  Vm vm;
  std::unique_ptr<LoopbackMachine> board;
  std::unique_ptr<Function> function;
  std::atomic<uint64_t> rung{0};
};

DeviceModelHost::DeviceModelHost(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}

std::unique_ptr<DeviceModelHost> DeviceModelHost::create(const std::string& options) {
  auto machine = std::make_unique<Machine>(options);
  if (!machine->init()) return nullptr;
  std::unique_ptr<DeviceModelHost> host(new DeviceModelHost(std::move(machine)));
  host->board().bus().attach(kAddress, *host);
  return host;
}

DeviceModelHost::~DeviceModelHost() { machine_->deinit(); }

LoopbackMachine& DeviceModelHost::board() { return *machine_->board; }

int DeviceModelHost::rescan(const std::string& arguments) {
  std::string own = arguments;
  return rescan_ops->rescan(rescan_context, own.data());
}

size_t DeviceModelHost::doorbells_placed() const {
  const std::lock_guard lock(machine_->vm.mutex);
  return machine_->vm.doorbells.size();
}

uint64_t DeviceModelHost::doorbells_rung() const { return machine_->rung; }

uint32_t DeviceModelHost::config_read(unsigned offset, unsigned size) {
  return machine_->function->pci.config_read(offset, size);
}

void DeviceModelHost::config_write(unsigned offset, unsigned size, uint32_t value) {
  Function& function = *machine_->function;
  function.pci.config_write(offset, size, value);
  for (unsigned bar = 0; bar < 2; bar++) function.bar[bar].addr = function.pci.bar_address(bar).value_or(0);
}

BarShape DeviceModelHost::bar_shape(unsigned bar) const { return machine_->function->pci.bar_shape(bar); }
std::optional<uint64_t> DeviceModelHost::bar_address(unsigned bar) const {
  return machine_->function->pci.bar_address(bar);
}

uint64_t DeviceModelHost::bar_read(unsigned bar, uint64_t offset, unsigned size) {
  Function& function = *machine_->function;
  return function.dev_ops->vdev_barread(&machine_->vm, 0, &function, static_cast<int>(bar), offset,
                                        static_cast<int>(size));
}

// As a hypervisor treats a port write: a doorbell's is no exit.
void DeviceModelHost::bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
  Function& function = *machine_->function;
  {
    const std::lock_guard lock(machine_->vm.mutex);
    for (const acrn_ioeventfd& doorbell : machine_->vm.doorbells) {
      if (doorbell.addr != function.bar[bar].addr + offset || doorbell.len != size || doorbell.data != value) continue;
      const uint64_t one = 1;
      EXPECT(::write(doorbell.fd, &one, sizeof(one)) == sizeof(one));
      machine_->rung++;
      return;
    }
  }
  function.dev_ops->vdev_barwrite(&machine_->vm, 0, &function, static_cast<int>(bar), offset, static_cast<int>(size),
                                  value);
}

void DeviceModelHost::reset() {
  machine_->deinit();
  EXPECT(machine_->init());
}

}  // namespace acrn::test

using acrn::test::Function;
using acrn::test::pci_of;
using acrn::test::Vm;

extern "C" {

size_t vm_get_lowmem_size(vmctx*) { return acrn::test::kRam; }
size_t vm_get_highmem_size(vmctx*) { return 0; }
void* vm_map_gpa(vmctx* ctx, uint64_t gaddr, size_t) { return ctx->baseaddr + gaddr; }

int vm_ioeventfd(vmctx* ctx, acrn_ioeventfd* args) {
  Vm& vm = *static_cast<Vm*>(ctx);
  const std::lock_guard lock(vm.mutex);
  const auto same = [args](const acrn_ioeventfd& other) {
    return other.addr == args->addr && other.data == args->data;
  };
  if ((args->flags & ACRN_IOEVENTFD_FLAG_DEASSIGN) != 0) return std::erase_if(vm.doorbells, same) == 1 ? 0 : -1;
  vm.doorbells.push_back(*args);
  return 0;
}

int monitor_register_vm_ops(monitor_vm_ops* ops, void* arg, const char*) {
  acrn::test::rescan_ops = ops;
  acrn::test::rescan_context = arg;
  return 0;
}

void pci_set_cfgdata8(pci_vdev* dev, int offset, uint8_t val) { static_cast<Function*>(dev)->bytes[offset] = val; }
void pci_set_cfgdata16(pci_vdev* dev, int offset, uint16_t val) {
  pci_set_cfgdata8(dev, offset, static_cast<uint8_t>(val));
  pci_set_cfgdata8(dev, offset + 1, static_cast<uint8_t>(val >> 8));
}
int pci_emul_alloc_bar(pci_vdev* dev, int idx, pcibar_type type, uint64_t size) {
  if (idx != 0 || type != PCIBAR_IO) return -1;
  static_cast<Function*>(dev)->register_bar = size;
  return 0;
}
int pci_emul_add_msicap(pci_vdev*, int) { return 0; }
int pci_emul_add_msixcap(pci_vdev* dev, int msgnum, int barnum) {
  static_cast<Function*>(dev)->msix_vectors = msgnum;
  return barnum == 1 ? 0 : -1;
}
int pci_emul_msix_twrite(pci_vdev* dev, uint64_t offset, int size, uint64_t value) {
  pci_of(dev).msix().bar_write(offset, static_cast<unsigned>(size), value);
  return 0;
}
uint64_t pci_emul_msix_tread(pci_vdev* dev, uint64_t offset, int size) {
  return pci_of(dev).msix().bar_read(offset, static_cast<unsigned>(size));
}
int pci_msix_table_bar(pci_vdev*) { return 1; }
int pci_msix_enabled(pci_vdev* dev) { return pci_of(dev).msix_enabled() ? 1 : 0; }
void pci_generate_msix(pci_vdev* dev, int index) { pci_of(dev).msix().notify(static_cast<unsigned>(index)); }
void pci_generate_msi(pci_vdev*, int) {}  // the driver has no MSI on
void pci_lintr_request(pci_vdev*) {}
void pci_lintr_assert(pci_vdev* dev) { pci_of(dev).set_intx(true); }
void pci_lintr_deassert(pci_vdev* dev) { pci_of(dev).set_intx(false); }

}  // extern "C"
