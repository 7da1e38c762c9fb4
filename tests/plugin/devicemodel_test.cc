// The adapter for ACRN's device model (samples/embed/acrn_devicemodel), compiled as that compiles it, in a device model
// that has what it asks for.
#include <filesystem>
#include <fstream>

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

TEST(a_bad_option_ends_the_start) {
  EXPECT(DeviceModelHost::create("/no/such/disk.img") == nullptr);
  EXPECT(DeviceModelHost::create("ram:1M,sectorsize=100") == nullptr);
}

}  // namespace
}  // namespace acrn
