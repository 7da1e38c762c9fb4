#include "tests/contract/host_media.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

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
