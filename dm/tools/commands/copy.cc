// vblk copy: a whole disk through two emulated devices, verified by SHA-256 of what a driver reads back.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <queue>
#include <utility>
#include <variant>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/block/open_disk_map.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/ident/sha256.h"
#include "dm/tools/commands.h"
#include "dm/tools/held_signals.h"
#include "dm/tools/progress.h"

namespace acrn {
namespace {

constexpr uint32_t kPiece = 1 << 20;  // bytes of one request
constexpr unsigned kDepth = 8;        // requests in flight

Error failed(const char* what, const PciSlotConfig& slot, uint64_t sector, uint8_t status) {
  return {ErrorKind::kIo, concat(what, " ", disk_name(slot), " at sector ", sector, ": ", status_text(status))};
}

uint32_t piece_bytes(uint64_t index, uint64_t total) {
  return static_cast<uint32_t>(std::min<uint64_t>(kPiece, total - index * kPiece));
}

uint64_t piece_sector(uint64_t index) { return index * (kPiece / VIRTIO_BLK_SECTOR_SIZE); }

// Which pieces of a disk are known to be zeroes. Asked in ascending order.
class KnownZeroes {
 public:
  explicit KnownZeroes(DiskMap* map) : map_(map) {}

  bool cover(uint64_t offset, uint64_t bytes) {
    for (uint64_t at = offset; at < offset + bytes; at = end_) {
      if (at >= end_) look_at(at);
      if (!zeroes_) return false;
    }
    return true;
  }

 private:
  void look_at(uint64_t offset) {
    const DiskMap::Extent extent = map_ != nullptr ? map_->extent_at(offset) : DiskMap::kUnknown;
    end_ = offset + extent.bytes;
    zeroes_ = extent.zeroes;
  }

  DiskMap* const map_;  // null: nothing is known
  uint64_t end_ = 0;    // bytes, of what the last answer was about
  bool zeroes_ = false;
};

// Reads a disk from start to end with several requests in flight and hands over its pieces in order. What is known to
// be zeroes is not read.
class OrderedReader {
 public:
  OrderedReader(LegacyDriver& driver, const PciSlotConfig& slot, DiskMap* map = nullptr)
      : queue_(driver.queue(0)), slot_(slot), total_(driver.capacity() * VIRTIO_BLK_SECTOR_SIZE), zeroes_(map) {
    const uint64_t pieces = (total_ + kPiece - 1) / kPiece;
    pieces_ = pieces;
    arrived_.assign(queue_.depth(), false);
    unread_ = arrived_;
    statuses_.assign(queue_.depth(), 0xff);
    while (asked_ < queue_.depth() && asked_ < pieces_) ask();
    queue_.kick();
  }

  uint64_t total() const { return total_; }

  // The next piece; empty at the end. Valid until the next call.
  Result<std::span<const std::byte>> next() {
    if (given_ > 0 && asked_ < pieces_) {
      ask();  // into the buffer of the piece that was given out last
      queue_.kick();
    }
    if (given_ == pieces_) return std::span<const std::byte>();
    const auto tag = static_cast<uint16_t>(given_ % queue_.depth());
    while (!arrived_[tag]) {
      const bool answered = queue_.reap([&](const DriverCompletion& done) {
        arrived_[done.tag] = true;
        statuses_[done.tag] = done.status;
      });
      if (!answered) return Error{ErrorKind::kInternal, "read " + disk_name(slot_) + ": the device does not answer"};
    }
    arrived_[tag] = false;
    if (statuses_[tag] != VIRTIO_BLK_S_OK) return failed("read", slot_, piece_sector(given_), statuses_[tag]);
    const uint32_t bytes = piece_bytes(given_++, total_);
    if (unread_[tag]) {
      unread_[tag] = false;
      return std::span<const std::byte>(zero_piece_).first(bytes);
    }
    return std::span(static_cast<const std::byte*>(queue_.data(tag).io_vector().iov_base), bytes);
  }

 private:
  void ask() {
    const auto tag = static_cast<uint16_t>(asked_ % queue_.depth());
    const uint32_t bytes = piece_bytes(asked_, total_);
    if (zeroes_.cover(asked_ * kPiece, bytes)) {
      arrived_[tag] = unread_[tag] = true;
      statuses_[tag] = VIRTIO_BLK_S_OK;
    } else {
      queue_.start(tag, VIRTIO_BLK_T_IN, piece_sector(asked_), bytes, false);
    }
    asked_++;
  }

  DriverQueue& queue_;
  const PciSlotConfig& slot_;
  uint64_t total_, pieces_ = 0, asked_ = 0, given_ = 0;
  std::vector<bool> arrived_, unread_;
  std::vector<uint8_t> statuses_;
  KnownZeroes zeroes_;
  const std::vector<std::byte> zero_piece_ = std::vector<std::byte>(kPiece);
};

// Writes pieces with several requests in flight. Zeroes become WRITE_ZEROES where the disk offers it, so that a
// sparse image stays sparse.
class Writer {
 public:
  Writer(LegacyDriver& driver, const PciSlotConfig& slot)
      : queue_(driver.queue(0)),
        slot_(slot),
        most_zeroes_(driver.accepted(VIRTIO_BLK_F_WRITE_ZEROES)
                         ? uint64_t{std::max<uint32_t>(driver.config().max_write_zeroes_sectors, 1)} *
                               VIRTIO_BLK_SECTOR_SIZE
                         : 0),
        sectors_(queue_.depth()) {
    for (unsigned tag = 0; tag < queue_.depth(); tag++) free_.push(static_cast<uint16_t>(tag));
  }

  Result<void> write(uint64_t sector, std::span<const std::byte> piece) {
    if (most_zeroes_ != 0 && std::all_of(piece.begin(), piece.end(), [](std::byte b) { return b == std::byte{0}; })) {
      return write_zeroes(sector, piece.size());
    }
    const auto tag = take_tag(sector);
    if (!tag) return tag.error();
    queue_.data(tag.value()).copy_in(0, piece.data(), piece.size());
    queue_.start(tag.value(), VIRTIO_BLK_T_OUT, sector, static_cast<uint32_t>(piece.size()), true);
    queue_.kick();
    return {};
  }

  // Waits for every write.
  Result<void> finish() {
    while (free_.size() < queue_.depth()) {
      if (auto done = reap(); !done) return done;
    }
    return {};
  }

 private:
  // In as many requests as the disk's limit makes of it.
  Result<void> write_zeroes(uint64_t sector, uint64_t bytes) {
    while (bytes > 0) {
      const auto tag = take_tag(sector);
      if (!tag) return tag.error();
      const auto part = static_cast<uint32_t>(std::min(bytes, most_zeroes_));
      queue_.data(tag.value())
          .store(0, VirtioBlkDiscardWriteZeroes{sector, part / VIRTIO_BLK_SECTOR_SIZE,
                                                VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP});
      queue_.start(tag.value(), VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(VirtioBlkDiscardWriteZeroes), true);
      queue_.kick();
      sector += part / VIRTIO_BLK_SECTOR_SIZE;
      bytes -= part;
    }
    return {};
  }

  // A free request, for what begins at that sector.
  Result<uint16_t> take_tag(uint64_t sector) {
    while (free_.empty()) {
      if (auto done = reap(); !done) return done.error();
    }
    const uint16_t tag = free_.front();
    free_.pop();
    sectors_[tag] = sector;
    return tag;
  }

  Result<void> reap() {
    Result<void> result;
    const bool answered = queue_.reap([&](const DriverCompletion& done) {
      free_.push(done.tag);
      if (done.status != VIRTIO_BLK_S_OK) result = failed("write", slot_, sectors_[done.tag], done.status);
    });
    if (!answered) return Error{ErrorKind::kInternal, "write " + disk_name(slot_) + ": the device does not answer"};
    return result;
  }

  DriverQueue& queue_;
  const PciSlotConfig& slot_;
  const uint64_t most_zeroes_;  // bytes of one request; 0: it is not offered
  std::vector<uint64_t> sectors_;
  std::queue<uint16_t> free_;
};

// The map of the disk that is read. Made before that is open, since a server may take one connection at a time; so a
// file's path may name another file by then.
class MapOfNext {
 public:
  explicit MapOfNext(const BlockOptions& disk) : file_(std::get_if<FilePath>(&disk.source)), before_(named_file()) {
    map_ = open_disk_map(disk);
  }
  // When it has been opened. Null: nothing is known of it.
  DiskMap* of_opened() const { return named_file() == before_ ? map_.get() : nullptr; }

 private:
  std::pair<dev_t, ino_t> named_file() const {
    struct stat status {};
    if (file_ == nullptr || ::stat(file_->path.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino};
  }

  const FilePath* const file_;  // null: it is no file
  const std::pair<dev_t, ino_t> before_;
  std::unique_ptr<DiskMap> map_;
};

struct Copied {
  uint64_t bytes;
  std::string sha256;
};

// A signal that convert holds.
Result<void> not_ended() {
  const int number = HeldSignals::came();
  return number == 0 ? Result<void>() : Error{ErrorKind::kInternal, concat("copy: ended by signal ", number)};
}

// Everything, in the target's memory or cache.
Result<Copied> copy_all(OrderedReader& reader, Writer& writer) {
  Progress progress("copy  ", reader.total());
  Sha256 hash;
  uint64_t bytes = 0;
  for (;;) {
    if (auto goes_on = not_ended(); !goes_on) return goes_on.error();
    auto piece = reader.next();
    if (!piece) return piece.error();
    if (piece.value().empty()) break;
    hash.update(piece.value());
    if (auto done = writer.write(bytes / VIRTIO_BLK_SECTOR_SIZE, piece.value()); !done) return done.error();
    bytes += piece.value().size();
    progress.advance(piece.value().size());
  }
  if (auto done = writer.finish(); !done) return done.error();
  return Copied{bytes, hash.finish_hex()};
}

// The SHA-256 of the first `total` bytes of a disk, as a driver reads it.
Result<std::string> hash_disk(LegacyDriver& driver, const PciSlotConfig& slot, uint64_t total) {
  OrderedReader reader(driver, slot);
  Progress progress("verify", total);
  Sha256 hash;
  for (uint64_t done = 0; done < total;) {
    if (auto goes_on = not_ended(); !goes_on) return goes_on.error();
    auto piece = reader.next();
    if (!piece) return piece.error();
    const auto wanted = piece.value().first(std::min<uint64_t>(piece.value().size(), total - done));
    hash.update(wanted);
    done += wanted.size();
    progress.advance(wanted.size());
  }
  return hash.finish_hex();
}

}  // namespace

Result<void> run_copy(const SessionOptions& options, bool verify, bool json) {
  const auto slot = !options.slots.empty() ? parse_slot(options.slots.front()) : Result<PciSlotConfig>(PciSlotConfig());
  const BlockOptions* const disk = slot ? block_options(slot.value()) : nullptr;
  const auto map = disk != nullptr ? std::make_unique<MapOfNext>(*disk) : nullptr;
  auto session = Session::open(options, 2);
  if (!session) return session.error();
  const PciSlotConfig &from = session.value()->slot(0), &to = session.value()->slot(1);
  DriverOptions driver_options = options.driver();
  driver_options.depth = kDepth;
  driver_options.max_bytes = kPiece;
  driver_options.features &= ~feature(VIRTIO_BLK_F_MQ);  // one queue is used
  auto source = session.value()->drive(0, driver_options);
  if (!source) return source.error();
  auto target = session.value()->drive(1, driver_options);
  if (!target) return target.error();

  OrderedReader reader(*source.value(), from, map != nullptr ? map->of_opened() : nullptr);
  if (reader.total() == 0) {
    return Error{ErrorKind::kUsage, concat(disk_name(from), ": there is nothing to copy; name a disk, like disk.img")};
  }
  if (const uint64_t room = target.value()->capacity() * VIRTIO_BLK_SECTOR_SIZE; room < reader.total()) {
    return Error{ErrorKind::kUsage, concat(disk_name(to), " holds ", room, " bytes, ", disk_name(from), " has ",
                                           reader.total(), "; truncate -s ", reader.total(), " makes room")};
  }
  Writer writer(*target.value(), to);
  const auto copied = copy_all(reader, writer);
  if (!copied) return copied.error();
  auto flushed = target.value()->flush();
  if (!flushed) return flushed.error();
  if (flushed.value() != VIRTIO_BLK_S_OK) return failed("flush", to, 0, flushed.value());

  const auto& [bytes, read_hash] = copied.value();
  if (verify) {
    auto written_hash = hash_disk(*target.value(), to, bytes);
    if (!written_hash) return written_hash.error();
    if (written_hash.value() != read_hash) {
      return Error{ErrorKind::kIo, concat("verification failed: ", disk_name(from), " has SHA-256 ", read_hash, ", ",
                                          disk_name(to), " has ", written_hash.value())};
    }
  }
  if (json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"bytes", bytes}, {"sha256", read_hash}, {"verified", verify}}.dump(2));
  } else {
    fmt::print("copied {} bytes{}\nSHA-256 {}\n", bytes, verify ? ", verified" : "", read_hash);
  }
  return {};
}

}  // namespace acrn
