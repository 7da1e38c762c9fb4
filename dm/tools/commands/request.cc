// vblk read, write, flush, discard, zero: single requests, data on stdin and stdout.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/tools/commands.h"

namespace acrn {
namespace {

constexpr uint64_t kChunk = 64 * 1024;  // bytes of one request

struct OneDisk {
  std::unique_ptr<Session> session;
  std::unique_ptr<LegacyDriver> driver;
};

Result<OneDisk> open_one(const SessionOptions& options) {
  auto session = Session::open(options, 1);
  if (!session) return session.error();
  auto driver = session.value()->drive(0, options.driver());
  if (!driver) return driver.error();
  return OneDisk{std::move(session).value(), std::move(driver).value()};
}

// What the device itself would refuse with a status byte is left to it, so that a user sees what a guest sees. To the
// end of the disk there has to be something.
Result<uint64_t> sectors_of(const RequestOptions& request, const LegacyDriver& driver) {
  if (request.count) return *request.count;
  const uint64_t capacity = driver.capacity();
  if (request.sector < capacity) return capacity - request.sector;
  return Error{ErrorKind::kUsage,
               concat("--sector ", request.sector, ": the disk has ", capacity, " sectors; give a lower one")};
}

Result<void> check(const Result<uint8_t>& status, const char* what, uint64_t sector) {
  if (!status) return status.error();
  if (status.value() == VIRTIO_BLK_S_OK) return {};
  return Error{ErrorKind::kIo, concat(what, " at sector ", sector, ": ", status_text(status.value()))};
}

Result<void> write_out(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error{ErrorKind::kIo, "stdout: " + errno_text(errno)};
    data = data.subspan(static_cast<size_t>(written));
  }
  return {};
}

// Fills the span from stdin; fewer bytes only at its end.
Result<size_t> read_in(std::span<std::byte> data) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t got = ::read(STDIN_FILENO, data.data() + done, data.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorKind::kIo, "stdin: " + errno_text(errno)};
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<void> run_ranges(const SessionOptions& options, const RequestOptions& request, uint32_t type, const char* what) {
  auto disk = open_one(options);
  if (!disk) return disk.error();
  LegacyDriver& driver = *disk.value().driver;
  const bool discards = type == VIRTIO_BLK_T_DISCARD;
  const unsigned needed = discards ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
  if (!driver.accepted(needed)) {
    return Error{ErrorKind::kUsage,
                 concat(what, ": the disk does not offer it; add the option discard to -s (and not ro)")};
  }
  const VirtioBlkConfig config = driver.config();
  const uint32_t most = std::max<uint32_t>(discards ? config.max_discard_sectors : config.max_write_zeroes_sectors, 1);
  const uint32_t flags = !discards && request.unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
  uint64_t sector = request.sector;
  const auto count = sectors_of(request, driver);
  if (!count) return count.error();
  uint64_t left = count.value();
  while (left > 0) {
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(left, most));
    if (auto done = check(driver.discard(type, sector, part, flags), what, sector); !done) return done;
    sector += part;
    left -= part;
  }
  return {};
}

}  // namespace

Result<void> run_read(const SessionOptions& options, const RequestOptions& request) {
  auto disk = open_one(options);
  if (!disk) return disk.error();
  LegacyDriver& driver = *disk.value().driver;
  std::vector<std::byte> buffer(kChunk);
  uint64_t sector = request.sector;
  const auto count = sectors_of(request, driver);
  if (!count) return count.error();
  uint64_t left = count.value();
  while (left > 0) {
    const uint64_t part = std::min(left, kChunk / VIRTIO_BLK_SECTOR_SIZE);
    const std::span data(buffer.data(), part * VIRTIO_BLK_SECTOR_SIZE);
    if (auto done = check(driver.read(sector, data), "read", sector); !done) return done;
    if (auto done = write_out(data); !done) return done;
    sector += part;
    left -= part;
  }
  return {};
}

Result<void> run_write(const SessionOptions& options, const RequestOptions& request) {
  auto disk = open_one(options);
  if (!disk) return disk.error();
  LegacyDriver& driver = *disk.value().driver;
  std::vector<std::byte> buffer(kChunk);
  uint64_t sector = request.sector;
  uint64_t left = request.count.value_or(UINT64_MAX / VIRTIO_BLK_SECTOR_SIZE);
  while (left > 0) {
    const uint64_t wanted = std::min(left, kChunk / VIRTIO_BLK_SECTOR_SIZE) * VIRTIO_BLK_SECTOR_SIZE;
    auto got = read_in({buffer.data(), wanted});
    if (!got) return got.error();
    if (got.value() % VIRTIO_BLK_SECTOR_SIZE != 0 || (request.count && got.value() < wanted)) {
      return Error{ErrorKind::kUsage, request.count
                                          ? concat("stdin ended ", left * VIRTIO_BLK_SECTOR_SIZE - got.value(),
                                                   " bytes before --count ", *request.count, " sectors were read")
                                          : concat("stdin is not a multiple of 512 bytes; its last ",
                                                   got.value() % VIRTIO_BLK_SECTOR_SIZE, " bytes make no sector")};
    }
    if (got.value() == 0) break;
    if (auto done = check(driver.write(sector, {buffer.data(), got.value()}), "write", sector); !done) return done;
    const uint64_t part = got.value() / VIRTIO_BLK_SECTOR_SIZE;
    if (request.acknowledge) {
      const std::string line = concat("written ", sector, " ", part, "\n");
      if (auto told = write_out(std::as_bytes(std::span(line))); !told) return told;
    }
    sector += part;
    left -= part;
  }
  return {};
}

Result<void> run_flush(const SessionOptions& options) {
  auto disk = open_one(options);
  if (!disk) return disk.error();
  return check(disk.value().driver->flush(), "flush", 0);
}

Result<void> run_discard(const SessionOptions& options, const RequestOptions& request) {
  return run_ranges(options, request, VIRTIO_BLK_T_DISCARD, "discard");
}

Result<void> run_zero(const SessionOptions& options, const RequestOptions& request) {
  return run_ranges(options, request, VIRTIO_BLK_T_WRITE_ZEROES, "zero");
}

}  // namespace acrn
