// A whole function on one thread for the fuzz targets: RAM whose end the address sanitizer guards, a RAM disk whose
// requests can be held back, and a loop that runs when it is pumped.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "dm/base/log_setup.h"
#include "dm/block/sources/ram_disk.h"
#include "hw/pci/virtio/virtio_blk.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "tests/support/filter_fault.h"
#include "tests/support/inline_loop.h"

namespace acrn::test {

// Hands out a fuzzer's bytes as numbers; zeroes when they are used up.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  template <class T>
  T take() {
    T value{};
    const size_t part = std::min(sizeof(T), left_);
    std::memcpy(&value, data_, part);
    data_ += part;
    left_ -= part;
    return value;
  }
  std::span<const uint8_t> rest() const { return {data_, left_}; }

 private:
  const uint8_t* data_;
  size_t left_;
};

class FuzzDevice : private IrqPin, private MsiSink {
 public:
  static constexpr uint64_t kRamBase = 0x10000;
  static constexpr size_t kRamSize = 128 * 1024;
  static constexpr uint64_t kDiskSize = 64 * 1024;

  explicit FuzzDevice(const VirtioBlkOptions& options)
      : ram_(static_cast<std::byte*>(std::aligned_alloc(4096, kRamSize)), std::free),
        memory_(std::make_shared<const MemoryMap>(
            std::vector<MemoryRegion>{{Gpa{kRamBase}, kRamSize, ram_.get(), nullptr}})),
        guest_errors_("fuzz") {
    [[maybe_unused]] static const bool quiet = setup_logging({.console = 1}, "").ok();
    std::memset(ram_.get(), 0, kRamSize);
    auto blk = VirtioBlk::create(options, memory_, guest_errors_, {&loop_});
    ACRN_CHECK(blk.ok());
    auto disk = make_ram_disk({.size = kDiskSize});
    ACRN_CHECK(disk.ok());
    ACRN_CHECK(blk.value()->attach(make_filter_fault(std::move(disk).value(), faults_), "fuzz").ok());
    function_ = std::make_unique<VirtioPciLegacy>(std::move(blk).value(), VirtioPciOptions{}, guest_errors_,
                                                  static_cast<IrqPin&>(*this), static_cast<MsiSink&>(*this));
  }

  VirtioPciLegacy& function() { return *function_; }
  std::byte* ram() { return ram_.get(); }
  InlineLoop& loop() { return loop_; }
  FaultPlan& faults() { return *faults_; }

  void out(unsigned offset, unsigned size, uint32_t value) { function_->bar_write(0, offset, size, value); }
  void bring_up(uint32_t features, Gpa ring) {
    out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    out(VIRTIO_PCI_GUEST_FEATURES, 4, features);
    out(VIRTIO_PCI_QUEUE_PFN, 4, static_cast<uint32_t>(raw(ring) >> VIRTIO_PCI_QUEUE_ADDR_SHIFT));
    out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK);
  }
  void kick() { out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 0); }
  // Lets so much time pass that what the ring holds is served.
  void settle() { loop_.advance(1'000'000); }

 private:
  void set_level(bool) override {}
  void send(uint64_t, uint32_t) override {}

  std::unique_ptr<std::byte, decltype(&std::free)> ram_;
  GuestMemory memory_;
  InlineLoop loop_;
  const std::shared_ptr<FaultPlan> faults_ = std::make_shared<FaultPlan>();
  GuestErrors guest_errors_;
  std::unique_ptr<VirtioPciLegacy> function_;
};

}  // namespace acrn::test
