// A device model as ACRN's is to the adapter in samples/embed/acrn_devicemodel: it owns configuration space, BARs,
// MSI-X table and interrupt wire, and implements the functions of acrn_devicemodel/*.h by them. One machine at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "acrn/pci/pci_function.h"
#include "dm/loopback/loopback_machine.h"

namespace acrn::test {

class DeviceModelHost final : public PciFunction {
 public:
  static constexpr PciAddress kAddress{0, 9, 0};

  // With `-s 9,virtio-blk,<options>`. Fails when the adapter refuses them.
  static std::unique_ptr<DeviceModelHost> create(const std::string& options);
  ~DeviceModelHost() override;

  LoopbackMachine& board();
  // blkrescan <arguments>; what the adapter returned.
  int rescan(const std::string& arguments);
  size_t doorbells_placed() const;
  // Kicks that came by one.
  uint64_t doorbells_rung() const;

  uint32_t config_read(unsigned offset, unsigned size) override;
  void config_write(unsigned offset, unsigned size, uint32_t value) override;
  BarShape bar_shape(unsigned bar) const override;
  std::optional<uint64_t> bar_address(unsigned bar) const override;
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override;
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
  void reset() override;  // as the device model does it: deinit and init

 private:
  struct Machine;
  explicit DeviceModelHost(std::unique_ptr<Machine> machine);
  const std::unique_ptr<Machine> machine_;
};

}  // namespace acrn::test
