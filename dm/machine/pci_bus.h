// PciBus: the machine's PCI functions behind configuration mechanism 1 (ports 0xcf8 and 0xcfc) and their BARs.
// Functions are attached before a vCPU runs. Then any thread may access; finding the function that answers an
// address takes no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/pci/pci_function.h"

namespace acrn {

class PciBus {
 public:
  static constexpr uint16_t kAddressPort = 0xcf8;
  static constexpr uint16_t kDataPort = 0xcfc;

  // The bus does not own the function. One function per address.
  void attach(PciAddress address, PciFunction& function);

  // Port and memory accesses of a vCPU; size 1, 2, 4 (memory: also 8). Nothing and false: nobody answers.
  std::optional<uint32_t> io_read(uint16_t port, unsigned size);
  bool io_write(uint16_t port, unsigned size, uint32_t value);
  std::optional<uint64_t> memory_read(uint64_t address, unsigned size);
  bool memory_write(uint64_t address, unsigned size, uint64_t value);

  void reset();  // RST# to every function

 private:
  struct Attached {
    PciAddress address;
    PciFunction* function;
    std::array<BarShape, kPciBars> shape;
    // Where each BAR answers, 0 for nowhere. Refreshed after each write to the configuration space.
    std::array<std::atomic<uint64_t>, kPciBars> base{};
  };
  struct Hit {
    PciFunction* function;
    unsigned bar;
    uint64_t offset;
  };

  Attached* selected(unsigned& offset, uint16_t port);
  void refresh(Attached& attached);
  std::optional<Hit> find(BarKind kind, uint64_t address) const;

  std::atomic<uint32_t> config_address_{0};
  std::vector<std::unique_ptr<Attached>> functions_;
};

}  // namespace acrn
