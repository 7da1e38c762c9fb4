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

#include "acrn/base/mutex.h"
#include "acrn/pci/pci_function.h"
#include "acrn/vm/hypervisor.h"

namespace acrn {

class PciBus {
 public:
  // Where doorbells follow the BARs that they are in; null: nowhere. Before attach(); outlives the bus.
  void connect(DoorbellSink* doorbells) { doorbell_sink_ = doorbells; }
  // The bus does not own the function. One function per address.
  void attach(PciAddress address, PciFunction& function);

  // Port and memory accesses of a vCPU; size 1, 2, 4 (memory: also 8). Nothing and false: nobody answers.
  std::optional<uint32_t> io_read(uint16_t port, unsigned size);
  bool io_write(uint16_t port, unsigned size, uint32_t value);
  std::optional<uint64_t> memory_read(uint64_t address, unsigned size);
  bool memory_write(uint64_t address, unsigned size, uint64_t value);

  // Configuration space without the two ports; nobody there: all ones.
  uint32_t config_read(PciAddress address, unsigned offset, unsigned size);
  void config_write(PciAddress address, unsigned offset, unsigned size, uint32_t value);

  std::vector<PciAddress> addresses() const;
  PciFunction& function(PciAddress address);
  void reset();  // RST# to every function

 private:
  struct Attached {
    PciAddress address;
    PciFunction* function;
    std::array<BarShape, kPciBars> shape;
    // Where each BAR answers, 0 for nowhere. Refreshed after each write to the configuration space.
    std::array<std::atomic<uint64_t>, kPciBars> base{};
    std::vector<BarDoorbell> doorbells;
    std::vector<Doorbell> placed;  // what the hypervisor was asked for
  };
  struct Hit {
    PciFunction* function;
    unsigned bar;
    uint64_t offset;
  };

  Attached* find(PciAddress address) const;
  bool has_more_functions(PciAddress first) const;
  void refresh(Attached& attached);
  void place_doorbells(Attached& attached) ACRN_REQUIRES(refresh_mutex_);
  std::optional<Hit> find(BarKind kind, uint64_t address) const;

  // The function that the address port selects, and the register there.
  struct Selected {
    PciAddress address;
    unsigned offset;
  };
  std::optional<Selected> selected(uint16_t port) const;

  std::atomic<uint32_t> config_address_{0};
  DoorbellSink* doorbell_sink_ = nullptr;
  Mutex refresh_mutex_;  // rank 1: vCPUs that write configuration spaces move BARs one at a time
  std::vector<std::unique_ptr<Attached>> functions_;
};

}  // namespace acrn
