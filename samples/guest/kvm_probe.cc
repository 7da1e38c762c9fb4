// Can /dev/kvm run a 64-bit guest? Opening it says little where virtualization is itself emulated. Exit status 0 if it
// can, else 1 and one line that says why not.
#include <cstdio>

#include "dm/hypervisor/kvm/kvm.h"
#include "dm/hypervisor/probe.h"

int main() {
  const auto probe = [] {
    auto kvm = acrn::Kvm::create({});
    return kvm ? acrn::probe_hypervisor(*kvm.value()) : acrn::Result<void>(kvm.error());
  };
  const auto usable = probe();
  if (usable) return 0;
  std::fprintf(stderr, "kvm_probe: %s\n", usable.error().message.c_str());
  return 1;
}
