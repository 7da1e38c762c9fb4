#include "hw/pci/identity_function.h"

namespace acrn {

IdentityFunction::IdentityFunction(const PciIdentity& identity) : space_(identity) { space_.seal(); }

uint32_t IdentityFunction::config_read(unsigned offset, unsigned size) {
  MutexLock lock(mutex_);
  return space_.read(offset, size);
}

void IdentityFunction::config_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(mutex_);
  space_.write(offset, size, value);
}

void IdentityFunction::reset() {
  MutexLock lock(mutex_);
  space_.reset();
}

}  // namespace acrn
