// vblk_probe: finds legacy virtio-blk functions of the machine it runs on and prints their registers. For use
// inside a guest, as root, to see what the device shows; it only reads, and leaves the ISR alone since reading
// that would take an interrupt away from the driver.
extern "C" {
#include <pciaccess.h>
}
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include "acrn/virtio/virtio_spec.h"

namespace {

using namespace acrn;

constexpr int kExitNone = 69;  // EX_UNAVAILABLE: there is no such function
constexpr int kExitHost = 70;  // EX_SOFTWARE: PCI cannot be read
constexpr uint8_t kMsixCapability = 0x11;

// Legacy or transitional: 1af4:1000..103f with the virtio device ID as subsystem (virtio 0.9.5 2.1).
bool is_legacy_block(const pci_device& device) {
  return device.vendor_id == VIRTIO_PCI_VENDOR_ID && device.device_id >= VIRTIO_PCI_LEGACY_DEVICE_ID_BASE &&
         device.device_id <= 0x103f && device.subdevice_id == VIRTIO_ID_BLOCK;
}

bool msix_enabled(pci_device& device) {
  uint8_t offset = 0;
  pci_device_cfg_read_u8(&device, &offset, 0x34);
  for (int steps = 0; offset >= 0x40 && steps < 48; steps++) {
    uint8_t id = 0;
    uint16_t control = 0;
    pci_device_cfg_read_u8(&device, &id, offset);
    pci_device_cfg_read_u16(&device, &control, offset + 2);
    if (id == kMsixCapability) return (control & 0x8000) != 0;
    pci_device_cfg_read_u8(&device, &offset, offset + 1);
  }
  return false;
}

void print_registers(pci_io_handle* io, bool msix) {
  const auto read8 = [io](unsigned at) { return pci_io_read8(io, at); };
  const auto read16 = [io](unsigned at) { return pci_io_read16(io, at); };
  const auto read32 = [io](unsigned at) { return pci_io_read32(io, at); };
  std::printf("  HOST_FEATURES   0x%08x\n", read32(VIRTIO_PCI_HOST_FEATURES));
  std::printf("  GUEST_FEATURES  0x%08x\n", read32(VIRTIO_PCI_GUEST_FEATURES));
  std::printf("  QUEUE_SEL       %u\n", read16(VIRTIO_PCI_QUEUE_SEL));
  std::printf("  QUEUE_NUM       %u\n", read16(VIRTIO_PCI_QUEUE_NUM));
  std::printf("  QUEUE_PFN       0x%08x\n", read32(VIRTIO_PCI_QUEUE_PFN));
  std::printf("  STATUS          0x%02x\n", read8(VIRTIO_PCI_STATUS));
  const unsigned config = msix ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
  if (msix) {
    std::printf("  CONFIG_VECTOR   0x%04x\n", read16(VIRTIO_MSI_CONFIG_VECTOR));
    std::printf("  QUEUE_VECTOR    0x%04x\n", read16(VIRTIO_MSI_QUEUE_VECTOR));
  }
  const uint64_t sectors = read32(config) | static_cast<uint64_t>(read32(config + 4)) << 32;
  std::printf("  capacity        %llu sectors of 512 bytes\n", static_cast<unsigned long long>(sectors));
  std::printf("  seg_max         %u\n", read32(config + 12));
  std::printf("  blk_size        %u\n", read32(config + 20));
  std::printf("  physical block  %u\n", read32(config + 20) << read8(config + 24));
  std::printf("  writeback       %u\n", read8(config + 32));
  std::printf("  num_queues      %u\n", read16(config + 34));
}

bool print_function(pci_device& device) {
  std::printf("%04x:%02x:%02x.%x %04x:%04x revision %u subsystem %04x:%04x\n", device.domain, device.bus, device.dev,
              device.func, device.vendor_id, device.device_id, device.revision, device.subvendor_id,
              device.subdevice_id);
  if (pci_device_probe(&device) != 0 || device.regions[0].size == 0 || !device.regions[0].is_IO) {
    std::printf("  BAR0 is not an I/O BAR: no legacy registers\n");
    return false;
  }
  std::printf("  BAR0            I/O port 0x%llx, %llu bytes\n",
              static_cast<unsigned long long>(device.regions[0].base_addr),
              static_cast<unsigned long long>(device.regions[0].size));
  pci_io_handle* io = pci_device_open_io(&device, device.regions[0].base_addr, device.regions[0].size);
  if (io == nullptr) {
    std::printf("  its ports cannot be opened: %s%s\n", std::generic_category().message(errno).c_str(),
                geteuid() == 0 ? "" : "; run it as root");
    return false;
  }
  print_registers(io, msix_enabled(device));
  pci_device_close_io(&device, io);
  return true;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {
    std::puts(
        "usage: vblk_probe\nPrints the registers of each legacy virtio-blk function (1af4:1001) of this machine.");
    return 0;
  }
  if (const int error = pci_system_init(); error != 0) {
    std::fprintf(stderr, "vblk_probe: PCI cannot be read: %s\n", std::generic_category().message(error).c_str());
    return kExitHost;
  }
  unsigned found = 0;
  bool readable = true;
  pci_device_iterator* devices = pci_slot_match_iterator_create(nullptr);
  while (pci_device* device = pci_device_next(devices)) {
    if (!is_legacy_block(*device)) continue;
    found++;
    readable = print_function(*device) && readable;
  }
  pci_iterator_destroy(devices);
  pci_system_cleanup();
  if (found == 0) {
    std::fprintf(stderr, "vblk_probe: no legacy virtio-blk function (1af4:1001) on this machine\n");
    return kExitNone;
  }
  return readable ? 0 : kExitHost;
}
