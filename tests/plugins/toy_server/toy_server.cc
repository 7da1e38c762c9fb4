#include "tests/plugins/toy_server/toy_server.h"

#include <filesystem>
#include <fstream>

#include "acrn/base/concat.h"
#include "dm/loopback/guest_function.h"

namespace acrn::toy_server {
namespace {

constexpr PciAddress kAddress{0, 5, 0};

class ToyServer final : public PciServer {
 public:
  explicit ToyServer(std::unique_ptr<LoopbackMachine> machine) : machine_(std::move(machine)) {}

  const GuestMemory& memory() const override { return machine_->memory(); }
  MsiSink& msi() override { return machine_->msi(); }
  IrqPin& pin() override { return machine_->pin(kAddress); }

  Result<void> bind(const std::string&) override { return {}; }
  Result<void> serve(PciFunction& function, const std::string& path, std::function<void()>) override {
    machine_->bus().attach(kAddress, function);
    const auto found = GuestFunction::probe(*machine_, kAddress);
    if (!found) return Error{ErrorKind::kInternal, "the guest does not find the function"};
    path_ = path;
    std::ofstream(path) << hex(found->config_read(0, 4));
    return {};
  }
  void stop() override {
    if (!path_.empty()) std::filesystem::remove(path_);
  }

 private:
  std::unique_ptr<LoopbackMachine> machine_;
  std::string path_;  // empty until it serves
};

}  // namespace

Result<std::unique_ptr<PciServer>> create(const std::string&) {
  auto machine = LoopbackMachine::create(uint64_t{2} << 20);
  if (!machine) return machine.error();
  return std::unique_ptr<PciServer>(std::make_unique<ToyServer>(std::move(machine).value()));
}

Result<void> check(const std::string& path) {
  if (!std::filesystem::exists(path)) return {};
  return Error{ErrorKind::kNoInput, concat("--serve toy=", path, ": it exists already; give another folder")};
}

}  // namespace acrn::toy_server
