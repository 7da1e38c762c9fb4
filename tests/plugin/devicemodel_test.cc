// The adapter for ACRN's device model (samples/embed/acrn_devicemodel), compiled as that compiles it, in a device model
// that has what it asks for.
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "dm/loopback/legacy_driver.h"
#include "tests/plugin/devicemodel_host.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint64_t kMiB = 1 << 20;

std::unique_ptr<DeviceModelHost> host(const std::string& options) {
  auto made = DeviceModelHost::create(options);
  EXPECT(made != nullptr);
  return made;
}

std::unique_ptr<LegacyDriver> drive(DeviceModelHost& model, const DriverOptions& options = {}) {
  return must(LegacyDriver::start(model.board(), DeviceModelHost::kAddress, options));
}

std::vector<std::byte> some_data(size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; i++) data[i] = static_cast<std::byte>(i * 31 + i / 512 * 7 + seed);
  return data;
}

void expect_keeps_data(LegacyDriver& driver, unsigned seed) {
  const auto data = some_data(32 * 1024, seed);
  EXPECT_EQ(must(driver.write(3, data)), VIRTIO_BLK_S_OK);
  EXPECT_EQ(must(driver.flush()), VIRTIO_BLK_S_OK);
  std::vector<std::byte> back(data.size());
  EXPECT_EQ(must(driver.read(3, back)), VIRTIO_BLK_S_OK);
  EXPECT(back == data);
}

TEST(what_a_guest_writes_is_in_the_file) {
  const TempDir folder;
  const std::string path = folder.file("disk.img", kMiB);
  const auto model = host(path);
  expect_keeps_data(*drive(*model), 1);
  std::vector<char> file(32 * 1024);
  std::ifstream(path, std::ios::binary).seekg(3 * 512).read(file.data(), static_cast<std::streamsize>(file.size()));
  EXPECT(std::equal(file.begin(), file.end(), reinterpret_cast<const char*>(some_data(file.size(), 1).data())));
}

TEST(it_interrupts_by_msix_and_by_the_wire) {
  const auto model = host("ram:1M");
  for (const InterruptMode mode : {InterruptMode::kMsix, InterruptMode::kIntx}) {
    const auto driver = drive(*model, {.interrupts = mode});
    EXPECT(driver->interrupt_mode() == mode);
    expect_keeps_data(*driver, 2);
  }
}

TEST(kicks_are_doorbells_while_the_driver_runs) {
  const auto model = host("mq=2,ram:1M,kick=loop");
  EXPECT_EQ(model->doorbells_placed(), 0u);
  {
    const auto driver = drive(*model);
    EXPECT_EQ(model->doorbells_placed(), 2u);
    expect_keeps_data(*driver, 3);
    EXPECT(model->doorbells_rung() != 0);
  }
  EXPECT_EQ(model->doorbells_placed(), 0u);
}

TEST(a_reset_of_the_vm_keeps_what_was_written) {
  const TempDir folder;
  const auto model = host(folder.file("disk.img", kMiB) + ",writeback");
  const auto data = some_data(4096, 4);
  const auto before = drive(*model, {.interrupts = InterruptMode::kIntx});
  EXPECT_EQ(must(before->write(8, data)), VIRTIO_BLK_S_OK);
  EXPECT(model->doorbells_placed() != 0);
  model->reset();
  EXPECT_EQ(model->doorbells_placed(), 0u);
  EXPECT(!model->board().pin(DeviceModelHost::kAddress).level());
  std::vector<std::byte> back(data.size());
  EXPECT_EQ(must(drive(*model)->read(8, back)), VIRTIO_BLK_S_OK);
  EXPECT(back == data);
}

TEST(blkrescan_gives_a_slot_its_disk) {
  const TempDir folder;
  const auto model = host("nodisk");
  const auto driver = drive(*model);
  EXPECT_EQ(driver->capacity(), 0u);
  EXPECT_EQ(model->rescan("8," + folder.file("disk.img", kMiB)), -1);
  EXPECT_EQ(model->rescan("9"), -1);
  EXPECT_EQ(model->rescan("9,/no/such/disk.img"), -1);
  EXPECT_EQ(model->rescan("9," + folder.file("disk.img", kMiB)), 0);
  EXPECT_EQ(driver->capacity(), 2048u);
  expect_keeps_data(*driver, 5);
}

// Virtual CPUs write anything anywhere, over rings full of anything, while an operator rescans; then the VM is reset.
// The device model serves all accesses on one thread.
TEST(a_hostile_guest_gets_nothing_but_a_disk_that_works_again) {
  const TempDir folder;
  const std::string path = folder.file("disk.img", kMiB);
  const auto model = host("nodisk");
  const MemoryRegion& ram = model->board().memory().map()->regions()[0];
  std::minstd_rand garbage{1};  // NOLINT(bugprone-random-generator-seed): the same each time
  for (size_t i = 0; i < 64 * 4096; i++) ram.host[i] = static_cast<std::byte>(garbage() % 5 == 0 ? garbage() : 0);
  std::thread attack([&] {
    std::minstd_rand random{2};  // NOLINT(bugprone-random-generator-seed): the same each time
    const auto any = [&] { return static_cast<uint32_t>(random()); };
    for (unsigned i = 0; i < 4000; i++) {
      const unsigned bar = any() % 3, size = 1u << any() % 4;
      const uint64_t offset = any() % 16 == 0 ? any() * uint64_t{any()} : any() % 130;
      model->bar_write(bar, offset, size, any());
      model->bar_read(bar, offset, size);
      model->bar_write(0, VIRTIO_PCI_QUEUE_PFN, 4, (raw(ram.base) >> 12) + any() % 70);
      model->bar_write(0, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
      if (any() % 8 == 0) model->bar_write(0, VIRTIO_PCI_STATUS, 1, any() % 2 * VIRTIO_CONFIG_S_DRIVER_OK);
      if (any() % 64 == 0) model->config_write(any() % 256 & ~3u, 4, any());
    }
  });
  EXPECT_EQ(model->rescan("9," + path), 0);
  for (unsigned i = 0; i < 20; i++) EXPECT_EQ(model->rescan("9," + path), -1);
  attack.join();
  model->reset();
  EXPECT_EQ(model->rescan("9," + path), 0);
  expect_keeps_data(*drive(*model), 6);
}

TEST(a_bad_option_ends_the_start) {
  EXPECT(DeviceModelHost::create("/no/such/disk.img") == nullptr);
  EXPECT(DeviceModelHost::create("ram:1M,sectorsize=100") == nullptr);
}

}  // namespace
}  // namespace acrn
