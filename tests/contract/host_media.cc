#include "tests/contract/host_media.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "dm/base/errno_text.h"

namespace acrn::test {

SmallFileSystem::SmallFileSystem(uint64_t bytes) : root_(dir_.path("fs")) {
  std::filesystem::create_directory(root_);
  const std::string size = "size=" + std::to_string(bytes);
  if (::mount("tmpfs", root_.c_str(), "tmpfs", 0, size.c_str()) != 0) SKIP("mount of a tmpfs: " + errno_text(errno));
}

SmallFileSystem::~SmallFileSystem() { ::umount2(root_.c_str(), MNT_DETACH); }

std::string SmallFileSystem::file(const std::string& name, uint64_t size) const {
  return dir_.file("fs/" + name, size);
}

LoopDevice::LoopDevice(const std::string& file, uint32_t block_size, bool read_only) {
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) SKIP("/dev/loop-control: " + errno_text(errno));
  const UniqueFd backing(::open(file.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  EXPECT(static_cast<bool>(backing));
  for (int attempt = 0; attempt < 100; attempt++) {
    const int number = ::ioctl(control.fd(), LOOP_CTL_GET_FREE);
    if (number < 0) SKIP("no free loop device: " + errno_text(errno));
    path_ = "/dev/loop" + std::to_string(number);
    device_ = UniqueFd(::open(path_.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!device_) SKIP(path_ + ": " + errno_text(errno));
    loop_config config{};
    config.fd = static_cast<uint32_t>(backing.fd());
    config.block_size = block_size;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
    if (::ioctl(device_.fd(), LOOP_CONFIGURE, &config) == 0) return;
    if (errno != EBUSY) SKIP(path_ + ": LOOP_CONFIGURE: " + errno_text(errno));
  }
  SKIP("every loop device is taken");
}

FreezableFileSystem::FreezableFileSystem(uint64_t bytes) : root_(dir_.path("fs")) {
  const LoopDevice device(dir_.file("image", bytes), 4096);
  const std::string make = "mkfs.ext4 -q -F " + device.path() + " >/dev/null 2>&1";
  if (std::system(make.c_str()) != 0) SKIP("mkfs.ext4 is missing");  // NOLINT: a test's own words
  std::filesystem::create_directory(root_);
  if (::mount(device.path().c_str(), root_.c_str(), "ext4", 0, "") != 0) SKIP("mount of an ext4: " + errno_text(errno));
  folder_ = UniqueFd(::open(root_.c_str(), O_RDONLY | O_CLOEXEC));
}

FreezableFileSystem::~FreezableFileSystem() {
  if (watch_.joinable()) thaw();
  folder_.reset();
  ::umount2(root_.c_str(), MNT_DETACH);
}

std::string FreezableFileSystem::file(const std::string& name, uint64_t size) const {
  const std::string path = dir_.file("fs/" + name, size);
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const std::vector<char> data(size, 'x');
  EXPECT_EQ(::pwrite(fd.fd(), data.data(), size, 0), static_cast<ssize_t>(size));
  EXPECT_EQ(::fsync(fd.fd()), 0);
  EXPECT_EQ(::posix_fadvise(fd.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  return path;
}

void FreezableFileSystem::freeze() {
  EXPECT_EQ(::ioctl(folder_.fd(), FIFREEZE, 0), 0);
  watch_ = std::thread([this] {
    if (!thawed_.try_acquire_for(std::chrono::seconds(10))) ::ioctl(folder_.fd(), FITHAW, 0);
  });
}

bool FreezableFileSystem::thaw() {
  const bool was_frozen = ::ioctl(folder_.fd(), FITHAW, 0) == 0;
  thawed_.release();
  watch_.join();
  return was_frozen;
}

SharedMemoryFile::SharedMemoryFile(uint64_t size) : path_("/dev/shm/acrn-test-XXXXXX") {
  const UniqueFd fd(::mkstemp(path_.data()));
  if (!fd) SKIP("/dev/shm: " + errno_text(errno));
  EXPECT_EQ(::ftruncate(fd.fd(), static_cast<off_t>(size)), 0);
}

SharedMemoryFile::~SharedMemoryFile() { ::unlink(path_.c_str()); }

uint64_t allocated_bytes(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace acrn::test
