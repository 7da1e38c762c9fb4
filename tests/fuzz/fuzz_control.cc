// Any bytes as what a client of the control socket sends, in pieces: one reply for each line, each a JSON object on
// one line. The first byte says how long the pieces are. The target does nothing.
// COVERS(input): control socket: any bytes, in pieces
#include <nlohmann/json.hpp>

#include "dm/control/control_session.h"
#include "dm/devices/block_device_options.h"

namespace {

class NoMachine final : public acrn::ControlTarget {
 public:
  acrn::Result<void> blkrescan(const acrn::RescanRequest& request) override {
    const auto options = acrn::parse_rescan_options(request.disk, {});
    if (options && (options.value().read_only || options.value().queues != 1)) __builtin_trap();
    return acrn::Error{acrn::ErrorKind::kNoInput, "no \xff file\n"};
  }
  acrn::Result<uint64_t> resize(acrn::PciAddress address) override { return uint64_t{address.slot} << 20; }
  acrn::Result<acrn::DiskLimits> limits(acrn::PciAddress, std::span<const std::string> changes) override {
    return acrn::parse_limits(changes, {});
  }
  acrn::Result<void> trace(acrn::PciAddress, bool) override { return {}; }
  acrn::Result<void> mark(acrn::PciAddress, const std::string&) override { return {}; }
  std::vector<acrn::DeviceReport> stats() override {
    acrn::DeviceReport report{"0:9:0", "virtio-blk", "/a\xc3.img", {acrn::QueueStats{.kicks = 3}}};
    report.guest_errors = {{"kick-before-ring", 1}};
    return {report};
  }
  acrn::Result<void> pause() override { return {}; }
  acrn::Result<void> resume() override { return {}; }
  void stop() override {}
  acrn::MachineStatus status() override { return {"vm1", "00000000-0000-0000-0000-000000000000", true}; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  NoMachine machine;
  acrn::ControlSession session(machine);
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t piece = data[0] == 0 ? std::max<size_t>(rest.size(), 1) : data[0];
  size_t lines = 1, replies = 0;
  for (const char c : rest) lines += c == '\n' ? 1 : 0;
  for (bool finished = false; !finished;) {
    finished = rest.empty();
    finished ? session.finish() : session.add(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    while (const auto reply = session.next()) {
      if (++replies > lines || reply->find('\n') != reply->size() - 1) __builtin_trap();
      const auto json = nlohmann::json::parse(*reply, nullptr, false);
      if (!json.is_object() || !json["ok"].is_boolean() || json.contains("error") == json["ok"].get<bool>())
        __builtin_trap();
    }
  }
  return 0;
}
