// A host of libacrn-blk, in its two forms, that knows nothing of the product but its C interface: PCI functions for the
// loopback board. What such a host needs of PCI (configuration space, MSI-X table) is the product's, as a tool.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn-blk.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/level_interrupt.h"
#include "acrn/pci/pci_function.h"
#include "hw/pci/config_space.h"
#include "hw/pci/msix.h"

namespace acrn::test {

// A handle with the memory of that map. Calls that fail are failures of the test.
class LibraryDisk {
 public:
  explicit LibraryDisk(const MemoryMap& memory);
  ~LibraryDisk() { acrn_blk_free(blk_); }
  LibraryDisk(const LibraryDisk&) = delete;
  LibraryDisk& operator=(const LibraryDisk&) = delete;

  acrn_blk* get() const { return blk_; }
  void expect_ok(int result) const;
  uint64_t resize() const;
  std::string stats() const;
  // Those that have come, in their order: "<kind> <name> <count> <value>".
  std::vector<std::string> events() const;

 private:
  void take(const acrn_blk_event& event);

  mutable Mutex mutex_;
  std::vector<std::string> events_ ACRN_GUARDED_BY(mutex_);
  acrn_blk* const blk_;
};

// What a host with PCI of its own has for one function: configuration space, MSI-X table in BAR1, INTA#. Any thread.
class HostPci {
 public:
  HostPci(IrqPin& pin, MsiSink& msi) : msi_(msi), intx_(pin, [this] { return intx_wanted(); }) {}

  // Before the guest sees it.
  void set_identity(const PciIdentity& identity);
  void add_register_bar(uint32_t bytes);
  void add_msix(unsigned vectors);
  void seal();

  uint32_t config_read(unsigned offset, unsigned size) const;
  void config_write(unsigned offset, unsigned size, uint32_t value);
  BarShape bar_shape(unsigned bar) const;
  std::optional<uint64_t> bar_address(unsigned bar) const;
  Msix& msix() { return *msix_; }
  bool msix_enabled() const { return msix_ != nullptr && msix_->enabled(); }
  void set_intx(bool level);
  void reset();

 private:
  bool intx_wanted() const { return level_ && !intx_disabled_ && !msix_enabled(); }
  void refresh() ACRN_REQUIRES(mutex_);
  void deliver();

  MsiSink& msi_;
  std::atomic<bool> level_{false};
  std::atomic<bool> intx_disabled_{false};
  LevelInterrupt intx_;
  std::unique_ptr<Msix> msix_;
  mutable Mutex mutex_;
  std::optional<ConfigSpace> space_ ACRN_GUARDED_BY(mutex_);
};

class HostFunction : public PciFunction {
 public:
  virtual LibraryDisk& disk() = 0;
};

// `options` as in acrn_blk_disk. Memory, pin and sink outlive it. The second one has interrupts as eventfds.
std::unique_ptr<HostFunction> make_whole_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                  MsiSink& msi);
std::unique_ptr<HostFunction> make_eventfd_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                    MsiSink& msi);
std::unique_ptr<HostFunction> make_register_function(const std::string& options, const MemoryMap& memory, IrqPin& pin,
                                                     MsiSink& msi);

}  // namespace acrn::test
