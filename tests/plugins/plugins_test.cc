// What a new device and a new server need: one folder each, and one row of a table.
#include <poll.h>

#include <filesystem>
#include <fstream>

#include "dm/cli/command_line.h"
#include "dm/cli/dry_run.h"
#include "dm/loopback/guest_function.h"
#include "dm/run/preflight.h"
#include "dm/run/runner.h"
#include "tests/plugins/toy_device/toy_device.h"
#include "tests/plugins/toy_server/toy_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using test::TempDir;

constexpr DeviceRow kDevices[] = {toy_device::kRow};
constexpr ServerRow kServers[] = {toy_server::kRow};
constexpr PciAddress kSlot{0, 5, 0};

ParseOutcome parse(const std::vector<std::string>& arguments) {
  return parse_command_line(arguments, {.devices = kDevices, .servers = kServers});
}

std::string error_of(const ParseOutcome& outcome) {
  const auto* error = std::get_if<Error>(&outcome.result);
  return error == nullptr ? "" : error->message;
}

TEST(a_row_makes_a_device_that_a_guest_finds_and_uses) {
  const auto machine = std::move(LoopbackMachine::create(uint64_t{2} << 20)).value();
  const auto loop = std::move(EpollLoop::create("shared", {})).value();
  const DeviceEnvironment environment{.memory = machine->memory(), .msi = machine->msi(), .shared_loop = *loop};
  const PciSlotConfig slot = parse_slot("5,toy", kDevices).value();
  const auto device = std::move(create_device(slot, environment, machine->pin(kSlot))).value();
  machine->bus().attach(kSlot, device->function());
  const auto found = GuestFunction::probe(*machine, kSlot);
  EXPECT(found.has_value());
  EXPECT_EQ(found->config_read(0, 4), 0x10ff1af4u);
  found->out(0, 4, 42);
  EXPECT_EQ(found->in(0, 4), 42u);
  EXPECT(device->disk() == nullptr);
}

TEST(an_emulation_that_is_in_no_row_is_an_error) {
  EXPECT_EQ(parse_slot("5,toy", device_table()).error().message,
            "-s 5:0,toy: 'toy' is not an emulation; known: virtio-blk, hostbridge, cloudhv_hostbridge, lpc");
  EXPECT_EQ(parse_slot("9,virtio-blk,disk.img", kDevices).error().message,
            "-s 9:0,virtio-blk: 'virtio-blk' is not an emulation; known: toy");
}

TEST(a_device_without_options_refuses_them) {
  EXPECT_EQ(parse_slot("5,toy,loud", kDevices).error().message,
            "-s 5:0,toy: 'loud': toy takes no options; write just -s 5:0,toy");
}

TEST(a_server_that_is_in_no_row_is_an_error) {
  EXPECT_CONTAINS(error_of(parse({"-s", "5,toy", "--serve", "vfio-user=/run/acrn", "vm1"})),
                  "--serve vfio-user=/run/acrn: not a way to serve");
  EXPECT_CONTAINS(error_of(parse({"-s", "5,toy", "--serve", "toy=", "vm1"})), "--serve toy=: not a way to serve");
}

TEST(a_row_makes_a_server_that_serves_a_device_from_start_to_end) {
  const TempDir folder;
  const ParseOutcome outcome = parse({"-s", "5,toy", "--serve", "toy=" + folder.path(""), "vm1"});
  EXPECT_EQ(error_of(outcome), "");
  const auto& config = std::get<DmConfig>(outcome.result);
  const std::string path = serve_socket(config, kSlot);
  const auto facts = preflight(config);
  EXPECT(facts.ok());
  EXPECT_CONTAINS(dry_run(config, facts.value()), "\"serve_toy\": \"" + config.serve->folder + "\"");
  EXPECT(!std::filesystem::exists(path));

  const auto loop = std::move(EpollLoop::create("control", {})).value();
  auto runner = std::move(Runner::create(config, *loop)).value();
  loop->run([&] { runner->start(); });
  std::string found;
  std::ifstream(path) >> found;
  EXPECT_EQ(found, "0x10ff1af4");

  runner->request_stop();
  pollfd ended{runner->ended_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
  Result<int> result = -1;
  loop->run([&] {
    result = runner->outcome();
    runner.reset();
  });
  EXPECT_EQ(result.value(), 0);
  EXPECT(!std::filesystem::exists(path));
}

}  // namespace
}  // namespace acrn
