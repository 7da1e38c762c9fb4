#include "dm/devices/bridges.h"

namespace acrn::bridges {
namespace {

class Bridge final : public Device {
 public:
  explicit Bridge(const PciIdentity& identity) : function_(identity) {}
  PciFunction& function() override { return function_; }

 private:
  IdentityFunction function_;
};

}  // namespace

Result<std::unique_ptr<Device>> create(const PciIdentity& identity) {
  return std::unique_ptr<Device>(std::make_unique<Bridge>(identity));
}

}  // namespace acrn::bridges
