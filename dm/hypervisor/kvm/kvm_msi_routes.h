// KvmMsiRoutes: MSIs of KVM, by its table of routes or by KVM_SIGNAL_MSI.
#pragma once

#include "acrn/base/result.h"
#include "dm/hypervisor/msi_routes.h"

namespace acrn {

class KvmMsiRoutes final : public MsiRoutes {
 public:
  // For a VM that is new, by its descriptor: the inputs of its controllers, wired as in a PC, and no messages. Nobody
  // sends during it.
  Result<void> set_up(int vm);

 private:
  bool connect(unsigned number, const MsiMessage& message, int event_fd) override;
  void disconnect(int) override {}  // went with the old VM
  void send_directly(const MsiMessage& message) override;
  int write_table(unsigned messages) const;

  int vm_ = -1;
};

}  // namespace acrn
