// Acrn: a Hypervisor over /dev/acrn_hsm, on a Service VM of ACRN (<linux/acrn.h>). Interrupt controllers and processors
// are the hypervisor's; what they ask of devices comes through IoRequests, on one thread for all of them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/event/event_loop.h"
#include "acrn/vm/hypervisor.h"
#include "dm/hypervisor/acrn/hsm_device.h"
#include "dm/hypervisor/acrn/io_requests.h"
#include "dm/hypervisor/acrn/ioeventfds.h"
#include "dm/hypervisor/acrn/shared_ring.h"
#include "dm/hypervisor/msi_routes.h"

namespace acrn {

struct AcrnOptions {
  // What the hypervisor knows the VM by: up to ACRN 2 its UUID, from ACRN 3 on its name. Without a UUID the name
  // counts, of kMaxName characters at most.
  std::string vm_name;
  std::optional<std::array<uint8_t, 16>> uuid;
  unsigned vcpus = 1;
  uint64_t cpu_affinity = 0;  // bit n: ACRN's CPU n; 0: as its configuration says
  EventLoop* loop = nullptr;  // where events of the VM are told, and the Acrn is destroyed; null: nowhere
  std::chrono::milliseconds pause_between_tries{500};
};

class Acrn final : public Hypervisor {
 public:
  static constexpr unsigned kTries = 10;
  static constexpr size_t kMaxName = 15;

  static Result<std::unique_ptr<Acrn>> create(const AcrnOptions& options, std::unique_ptr<HsmDevice> hsm);
  ~Acrn() override;

  HypervisorTraits traits() const override;
  Result<void> map_ram(const MemoryRegion& region) override;
  Result<void> start(const BootState& boot, ExitHandler& exits) override;
  void pause() override;
  void resume() override {}  // see traits()
  Result<void> reset() override;
  void stop() override;
  void set_irq(unsigned gsi, bool asserted) override;
  void send(uint64_t address, uint32_t data) override;
  bool add_doorbell(const Doorbell& doorbell) override { return ioeventfds_.add(doorbell); }
  void remove_doorbell(const Doorbell& doorbell) override { ioeventfds_.remove(doorbell); }

 private:
  class Msis final : public MsiRoutes {
   public:
    explicit Msis(HsmDevice& hsm) : hsm_(hsm) {}
    using MsiRoutes::forget_all;

   private:
    bool connect(unsigned, const MsiMessage& message, int event_fd) override;
    void disconnect(int event_fd) override;
    void send_directly(const MsiMessage& message) override;
    HsmDevice& hsm_;
    std::atomic<bool> warned_{false};
  };

  Acrn(const AcrnOptions& options, std::unique_ptr<HsmDevice> hsm);
  Result<void> create_vm();
  bool pause_vm();
  void set_up_asyncio();
  void set_up_events();
  void tell_events();
  bool set_memory(uint64_t guest, uintptr_t host, uint64_t size);
  void release_lines();
  Result<void> set_registers(const BootState& boot);

  const AcrnOptions options_;
  // In the order of their use: pages outlive the VM, which ends with the device at the latest.
  std::vector<MemoryRegion> ram_;
  SharedRing asyncio_{sizeof(uint64_t)};
  SharedRing events_{kVmEventSize};
  std::unique_ptr<IoRequests> requests_;
  const std::unique_ptr<HsmDevice> hsm_;
  std::optional<uint16_t> vmid_;  // once there is a VM
  bool paused_ = false;
  std::atomic<bool> line_warned_{false};
  bool serving_ = false;  // requests_ has its thread
  Ioeventfds ioeventfds_{*hsm_};
  Msis msis_{*hsm_};
  std::unique_ptr<Notifier> event_;
};

}  // namespace acrn
