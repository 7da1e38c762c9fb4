// A server is killed under load, again and again, and started again on the same socket: the front end connects to it,
// and every request is answered once, with what it wrote in the file. argv: the acrn-dm program.
#include <signal.h>

#include <array>
#include <fstream>
#include <random>

#include "dm/event/epoll_loop.h"
#include "dm/loopback/legacy_driver.h"
#include "dm/tools/vhost_user/remote_device.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "tests/support/must.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr PciAddress kAddress{0, 9, 0};
constexpr uint64_t kBlock = 4096, kBlocks = 512;
constexpr unsigned kDepth = 16, kKills = 150;

// A block of a write is that number, repeated.
void stamp(GuestSlice block, uint64_t number) {
  for (size_t at = 0; at < kBlock; at += sizeof(number)) block.store(at, number);
}

class Load {
 public:
  explicit Load(const std::string& options)
      : image_(folder_.file("disk.img", kBlocks * kBlock)),
        options_(image_ + options),
        server_(std::make_unique<ServerProcess>(folder_, options_)),
        remote_(connect()),
        function_(std::unique_ptr<VirtioDevice>(remote_), {}, guest_errors_, board_.pin(kAddress), board_.msi()) {
    board_.bus().attach(kAddress, function_);
    driver_ = must(LegacyDriver::start(board_, kAddress, {.depth = kDepth, .max_bytes = kBlock}));
  }

  void run() {
    DriverQueue& queue = driver_->queue(0);
    for (uint16_t tag = 0; tag < kDepth; tag++) write(tag);
    queue.kick();
    for (unsigned kills = 0; kills < kKills; kills++) {
      for (auto more = random_() % 40; more > 0; more--) reap(true);
      for (volatile auto spin = random_() % 100'000; spin > 0;) spin = spin - 1;  // a moment of its work
      EXPECT_EQ(server_->end(SIGKILL), -1);
      server_ = std::make_unique<ServerProcess>(folder_, options_);
      EXPECT(wait_until([&] { return remote_->reconnect().ok(); }));
    }
    while (in_flight_ != 0) reap(false);
    EXPECT(answered_ == sent_);
    driver_.reset();
    EXPECT_EQ(server_->end(SIGTERM), 0);
    expect_file();
  }

 private:
  RemoteDevice* connect() {
    std::unique_ptr<RemoteDevice> device;
    EXPECT(wait_until([&] {
      auto connected = RemoteDevice::connect(folder_.path("vm1.9.0.sock"), ram_, *loop_);
      if (connected) device = std::move(connected).value();
      return device != nullptr;
    }));
    return device.release();
  }

  // To a block that no other request in flight is for.
  void write(uint16_t tag) {
    const uint64_t block = random_() % (kBlocks / kDepth) * kDepth + tag;
    wanted_[tag] = {block, ++sent_};
    stamp(driver_->queue(0).data(tag), sent_);
    driver_->queue(0).start(tag, VIRTIO_BLK_T_OUT, block * (kBlock / 512), kBlock, true);
    in_flight_++;
  }

  void reap(bool again) {
    DriverQueue& queue = driver_->queue(0);
    EXPECT(queue.reap([&](const DriverCompletion& done) {  // false for what was not in flight
      EXPECT_EQ(done.status, VIRTIO_BLK_S_OK);
      EXPECT_EQ(done.written, 1u);
      const auto [block, number] = wanted_[done.tag];
      newest_[block] = number;
      in_flight_--;
      answered_++;
      if (again) write(done.tag);
    }));
    queue.kick();
  }

  void expect_file() {
    std::ifstream file(image_, std::ios::binary);
    for (uint64_t block = 0; block < kBlocks; block++) {
      std::array<uint64_t, kBlock / 8> words;
      file.read(reinterpret_cast<char*>(words.data()), kBlock);
      for (const uint64_t word : words) EXPECT_EQ(word, newest_[block]);
    }
  }

  struct Write {
    uint64_t block = 0, number = 0;
  };

  const TempDir folder_;
  const std::string image_, options_;
  std::unique_ptr<ServerProcess> server_;
  const MemoryRegion ram_ = must(create_shared_ram(Gpa{LoopbackMachine::kRamBase}, 16 << 20));
  LoopbackMachine board_{ram_};
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("front", {}));
  GuestErrors guest_errors_{"front"};
  RemoteDevice* remote_;  // the function's
  VirtioPciLegacy function_;
  std::unique_ptr<LegacyDriver> driver_;
  std::minstd_rand random_{7};  // NOLINT(bugprone-random-generator-seed): the same each time
  std::array<Write, kDepth> wanted_;
  std::array<uint64_t, kBlocks> newest_{};
  uint64_t sent_ = 0, answered_ = 0;
  unsigned in_flight_ = 0;
};

// COVERS(crash): `kill -9` at a random moment
TEST(no_request_is_lost_and_none_is_answered_twice_when_the_server_dies) { Load(",writeback").run(); }
// COVERS(crash): `kill -9` at a random moment
TEST(no_request_is_lost_in_writethru_by_io_uring_when_the_server_dies) { Load(",aio=io_uring,iothread").run(); }

}  // namespace
}  // namespace acrn
