// A function served by vfio-user in the test's own process, and a guest at the other end of the socket that puts its
// messages and its ring together by hand.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dm/base/log_setup.h"
#include "dm/event/epoll_loop.h"
#include "dm/loopback/loopback_ring.h"
#include "dm/server/vfio_user/server.h"
#include "tests/support/device_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vfio_user_client.h"

namespace acrn::test {

inline constexpr Gpa kBase{LoopbackMachine::kRamBase};

// A disk in the test's memory, served. The guest's memory is the test's too.
struct Served {
  explicit Served(const VirtioPciOptions& options = {}) {
    static const bool quiet = setup_logging({.console = 1}, "").ok();
    EXPECT(quiet);
    auto device = must(VirtioBlk::create({}, server->memory(), guest_errors, {loop.get()}));
    VirtioBlk& block = *device;
    function =
        std::make_unique<VirtioPciLegacy>(std::move(device), options, guest_errors, server->pin(), server->msi());
    must(block.attach(make_filter_fault(std::make_unique<MemoryDisk>(BlockInfo{.size = 4 * kMiB}), faults), "SERIAL"));
    must(server->serve(*function, path, {}));
  }
  ~Served() {
    faults->release();
    server->stop();
  }

  TempDir folder;
  std::string path = folder.path("vm1.9.0.sock");
  std::shared_ptr<FaultPlan> faults = std::make_shared<FaultPlan>();
  GuestErrors guest_errors{"served"};
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("queues", {}));
  std::unique_ptr<PciServer> server = must(vfio_user::VfioUserServer::create("0:9:0"));
  std::unique_ptr<VirtioPciLegacy> function;
};

// A client that has memory and a queue, and puts reads of sector 0 into it.
struct Guest {
  explicit Guest(const std::string& path) : client(path) {
    EXPECT_EQ(client.negotiate(), 0);
    EXPECT_EQ(client.map(kBase, memory), 0);
    EXPECT_EQ(client.reset(), 0);
  }

  void start_queue(uint64_t features = 0) {
    ring.emplace(must(create_ring(board, 64, 0, false)));
    client.write(vfio_user::VFIO_PCI_CONFIG_REGION_INDEX, 0x04, 2, 7);
    client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_STATUS, 1, 3);
    client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_GUEST_FEATURES, 4, features);
    client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_QUEUE_PFN, 4, ring->pfn());
    EXPECT_EQ(client.read(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_QUEUE_PFN, 4), ring->pfn());
    client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_STATUS, 1, 7);
  }

  // Returns where the status byte will be.
  Gpa offer_read(uint64_t alignment = 512) {
    const auto head = static_cast<uint16_t>(offered * 3 % 60);
    const Gpa header = *board.allocate(16, 16), data = *board.allocate(512, alignment), status = *board.allocate(1, 1);
    board.ram(header, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_IN, 0, 0});
    board.ram(status, 1).store(0, uint8_t{0xff});
    ring->write_desc(head, {raw(header), 16, VRING_DESC_F_NEXT, static_cast<uint16_t>(head + 1)});
    ring->write_desc(static_cast<uint16_t>(head + 1),
                     {raw(data), 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, static_cast<uint16_t>(head + 2)});
    ring->write_desc(static_cast<uint16_t>(head + 2), {raw(status), 1, VRING_DESC_F_WRITE, 0});
    ring->write_avail_entry(offered & 63, head);
    ring->write_avail_index(++offered);
    last_data = data;
    last_status = status;
    return status;
  }
  void kick() { client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0); }
  uint8_t byte(Gpa gpa) { return board.ram(gpa, 1).load<uint8_t>(0); }

  SharedMemory memory{16 * kMiB};
  LoopbackMachine board{memory.region(kBase)};  // for its RAM only
  VfioUserClient client;
  std::optional<DriverRing> ring;
  uint16_t offered = 0;
  Gpa last_data{}, last_status{};
};

}  // namespace acrn::test
