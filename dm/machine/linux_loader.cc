#include "dm/machine/linux_loader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/machine/boot_environment.h"
#include "dm/machine/bzimage.h"

namespace acrn {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kEntry64 = 0x200;  // bytes behind the kernel's start
constexpr uint8_t kUnregisteredLoader = 0xff;

Error refuse(const char* option, const std::string& path, const std::string& why) {
  return {ErrorKind::kNoInput, concat(option, " ", path, ": ", why)};
}

// Exactly `length` bytes from `offset`, or what went wrong.
std::optional<std::string> read_exactly(int fd, uint64_t offset, iovec to) {
  auto* at = static_cast<std::byte*>(to.iov_base);
  size_t left = to.iov_len;
  while (left > 0) {
    const ssize_t count = ::pread(fd, at, left, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_text(errno);
    if (count == 0) return "became shorter while it was read";
    at += count, left -= static_cast<size_t>(count), offset += static_cast<uint64_t>(count);
  }
  return std::nullopt;
}

GuestSlice must_slice(const MemoryMap& memory, uint64_t gpa, uint64_t length) {
  const auto slice = memory.slice(Gpa{gpa}, length);
  ACRN_CHECK(slice.has_value());  // place() has seen that it fits
  return *slice;
}

// The map that a PC's firmware gives to a kernel.
void describe_ram(const RamLayout& ram, boot_params& zero_page) {
  constexpr uint32_t kRam = 1, kReserved = 2;
  const auto add = [&](uint64_t address, uint64_t size, uint32_t type) {
    zero_page.e820_table[zero_page.e820_entries++] = {address, size, type};
  };
  add(0, kLegacyHole, kRam);
  add(kLegacyHole, kKernelBase - kLegacyHole, kReserved);
  add(kKernelBase, ram.low - kKernelBase, kRam);
  if (ram.high != 0) add(kHighRamBase, ram.high, kRam);
}

}  // namespace

struct LinuxLoader::Placement {
  BzImage image;
  uint64_t ramdisk = 0;  // where it begins
};

Result<LinuxLoader::File> LinuxLoader::open_file(const char* option, const std::string& path) {
  // Non-blocking, or a FIFO would keep us waiting for a writer.
  File file{UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), 0};
  struct stat status;
  if (!file.fd || ::fstat(file.fd.fd(), &status) != 0) {
    return refuse(option, path, concat(errno_text(errno), "; give a readable regular file"));
  }
  if (!S_ISREG(status.st_mode)) return refuse(option, path, "not a regular file; give a readable regular file");
  file.size = static_cast<uint64_t>(status.st_size);
  return file;
}

Result<LinuxLoader> LinuxLoader::open(Options options) {
  LinuxLoader loader;
  loader.options_ = std::move(options);
  auto kernel = open_file("-k", loader.options_.kernel);
  if (!kernel) return kernel.error();
  loader.kernel_ = std::move(kernel).value();
  if (loader.options_.ramdisk) {
    auto ramdisk = open_file("-r", *loader.options_.ramdisk);
    if (!ramdisk) return ramdisk.error();
    loader.ramdisk_ = std::move(ramdisk).value();
    if (loader.ramdisk_->size == 0) return refuse("-r", *loader.options_.ramdisk, "empty; give an initramfs");
  }
  if (const auto placed = loader.place(); !placed) return placed.error();
  return loader;
}

Result<LinuxLoader::Placement> LinuxLoader::place() const {
  std::vector<std::byte> start(std::min<uint64_t>(kBzImageHeaderBytes, kernel_.size));
  if (const auto why = read_exactly(kernel_.fd.fd(), 0, {start.data(), start.size()})) {
    return refuse("-k", options_.kernel, *why);
  }
  const auto image = parse_bzimage(start, kernel_.size);
  if (!image) return refuse("-k", options_.kernel, image.error().message);
  Placement placement{image.value(), 0};
  const BzImage& kernel = placement.image;
  if (options_.bootargs.size() > kernel.command_line_max) {
    return Error{ErrorKind::kUsage, concat("-B: ", options_.bootargs.size(), " bytes; this kernel takes at most ",
                                           kernel.command_line_max)};
  }
  const uint64_t ramdisk_size = ramdisk_ ? ramdisk_->size : 0;
  const uint64_t top = std::min({options_.ram.low, kernel.ramdisk_end_max, kLowRamLimit});
  if (kernel.memory_end > options_.ram.low || ramdisk_size > top ||
      (ramdisk_ && ((top - ramdisk_size) & ~(kPage - 1)) < kernel.memory_end)) {
    const uint64_t needed = kernel.memory_end + ramdisk_size + kPage;
    return Error{ErrorKind::kUsage,
                 concat("-m ", options_.ram.low / kMiB, "M: too little for this kernel", ramdisk_ ? " and ramdisk" : "",
                        "; give at least ", (needed + kMiB - 1) / kMiB + 1, "M",
                        top < options_.ram.low || needed > kLowRamLimit ? ", or a smaller ramdisk" : "")};
  }
  if (ramdisk_) placement.ramdisk = (top - ramdisk_size) & ~(kPage - 1);
  return placement;
}

Result<BootState> LinuxLoader::load(const MemoryMap& memory, bool long_mode) const {
  const auto placed = place();  // again: the file may be another by now
  if (!placed) return placed.error();
  const BzImage& kernel = placed.value().image;
  const GuestSlice payload = must_slice(memory, kKernelBase, kernel.payload_size);
  if (const auto why = read_exactly(kernel_.fd.fd(), kernel.payload_offset, payload.io_vector())) {
    return refuse("-k", options_.kernel, *why);
  }
  if (ramdisk_) {
    const GuestSlice to = must_slice(memory, placed.value().ramdisk, ramdisk_->size);
    if (const auto why = read_exactly(ramdisk_->fd.fd(), 0, to.io_vector())) {
      return refuse("-r", *options_.ramdisk, *why);
    }
  }
  const std::string& text = options_.bootargs;
  must_slice(memory, kCommandLine, text.size() + 1).copy_in(0, text.c_str(), text.size() + 1);

  boot_params zero_page;
  std::memset(&zero_page, 0, sizeof(zero_page));
  zero_page.hdr = kernel.header;
  zero_page.hdr.type_of_loader = kUnregisteredLoader;
  zero_page.hdr.code32_start = kKernelBase;
  zero_page.hdr.cmd_line_ptr = kCommandLine;
  zero_page.hdr.ramdisk_image = static_cast<uint32_t>(placed.value().ramdisk);
  zero_page.hdr.ramdisk_size = static_cast<uint32_t>(ramdisk_ ? ramdisk_->size : 0);
  zero_page.acpi_rsdp_addr = kAcpiTables;
  describe_ram(options_.ram, zero_page);
  must_slice(memory, kZeroPage, sizeof(zero_page)).copy_in(0, &zero_page, sizeof(zero_page));

  long_mode = long_mode && kernel.long_mode;
  BootState boot = write_boot_environment(memory, long_mode);
  boot.instruction = kKernelBase + (long_mode ? kEntry64 : 0);
  boot.parameter = kZeroPage;
  return boot;
}

}  // namespace acrn
