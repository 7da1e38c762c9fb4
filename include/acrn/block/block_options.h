// What `-s <slot>,virtio-blk,...` says, parsed and checked but with nothing opened (docs/options.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "acrn/block/disk_limits.h"
#include "acrn/block/fault_rule.h"

namespace acrn {

// kAuto: whichever suits the disk and the cache mode.
enum class BlockEngine : uint8_t { kAuto, kThreads, kIoUring };
// Where a kick is served: on its own thread if that pays, always there, or never.
enum class KickMode : uint8_t { kAuto, kInline, kLoop };
// Whether what is in the page cache is read by a mapping. kAuto: where that keeps nobody waiting.
enum class MapMode : uint8_t { kAuto, kOn, kOff };

// What becomes of a request that the host cannot carry out. kReport: its status says so. kEnospc: it is held where
// there is no space left, which may change. kStop: it is held. Reads have no kEnospc.
enum class ErrorPolicy : uint8_t { kReport, kEnospc, kStop };

// How a file holds the disk's bytes, and QEMU's names for that, in the same order.
enum class ImageFormat : uint8_t { kRaw, kQcow2, kVmdk, kVdi, kVpc, kVhdx, kLuks };
inline constexpr std::array<std::string_view, 7> kImageFormatNames{"raw", "qcow2", "vmdk", "vdi",
                                                                   "vpc", "vhdx",  "luks"};
constexpr std::string_view name_of(ImageFormat format) { return kImageFormatNames[static_cast<size_t>(format)]; }

// The program that reads such a format for us, and its name. kAuto: the fastest one that is installed.
enum class ImageReader : uint8_t { kAuto, kQemuNbd, kStorageDaemon };
inline constexpr std::array<std::string_view, 3> kImageReaderNames{"auto", "qemu-nbd", "qemu-storage-daemon"};
constexpr std::string_view name_of(ImageReader reader) { return kImageReaderNames[static_cast<size_t>(reader)]; }

struct NoDisk {  // `nodisk`: a slot whose file comes later
  bool operator==(const NoDisk&) const = default;
};
struct RamDiskSource {  // `ram:<size>`
  uint64_t size = 0;    // bytes
  bool operator==(const RamDiskSource&) const = default;
};
struct FilePath {  // a regular file or a block device
  std::string path;
  bool operator==(const FilePath&) const = default;
};
struct SentFile {  // `fd:`: the same, which came as an open descriptor (blkrescan)
  int fd = -1;
  std::string name;  // what the kernel calls it
  bool operator==(const SentFile&) const = default;
};
struct NbdUri {  // an export of an NBD server, by the NBD URI specification
  std::string uri;
  bool operator==(const NbdUri&) const = default;
};
struct VhostUserSocket {  // `vhost-user:<path>`: what a vhost-user-blk back end serves there
  std::string path;
  bool operator==(const VhostUserSocket&) const = default;
};
struct RbdName {  // `rbd:<pool>/<image>[@<snapshot>]`: an image of a Ceph cluster
  std::string pool, image, snapshot;
  std::string text() const { return "rbd:" + pool + "/" + image + (snapshot.empty() ? "" : "@" + snapshot); }
  bool operator==(const RbdName&) const = default;
};
using BlockSource = std::variant<NoDisk, RamDiskSource, NbdUri, VhostUserSocket, RbdName, FilePath, SentFile>;

struct BlockRange {
  uint64_t start = 0, size = 0;  // in logical sectors
  bool operator==(const BlockRange&) const = default;
};

struct DiscardLimits {        // 0: the device's default
  uint32_t max_sectors = 0;   // 512-byte sectors per segment
  uint32_t max_segments = 0;  // segments per request, at most kMaxDiscardSegments
  uint32_t alignment = 0;     // 512-byte sectors
  bool operator==(const DiscardLimits&) const = default;
};
inline constexpr uint32_t kMaxDiscardSegments = 256;

struct BlockOptions {
  BlockSource source;
  bool writeback = false;
  bool read_only = false;
  uint32_t logical_sector = 512;            // bytes
  std::optional<uint32_t> physical_sector;  // bytes; absent: from the file or device
  std::optional<BlockRange> range;
  bool nocache = false;
  bool dontcache = false;  // nothing stays in the page cache
  std::optional<DiscardLimits> discard;
  BlockEngine engine = BlockEngine::kAuto;
  MapMode map = MapMode::kAuto;
  KickMode kick = KickMode::kAuto;
  unsigned iothreads = 0;                            // 0: one for each queue, or for a single queue the shared one
  std::vector<std::vector<unsigned>> iothread_cpus;  // host CPUs of the n-th iothread; empty: not pinned
  std::optional<uint32_t> poll;                      // microseconds: a loop's longest poll; absent: the loop's own
  unsigned queues = 1;
  unsigned queue_size = 64;  // ring entries, power of two; the most, where a driver chooses
  unsigned segments = 0;     // the most that a driver is told of; 0: as many as fit into that ring
  std::optional<std::string> serial;
  bool lock = true;
  ImageFormat format = ImageFormat::kRaw;
  ImageReader reader = ImageReader::kAuto;
  bool follow_backing = false;  // the format's header may name files that it is an overlay of
  std::string key;              // the file that holds the passphrase of a LUKS image
  bool snapshot = false;        // writes go to a temporary file
  bool share = false;           // the server sees the guest's memory
  unsigned reconnect = 30;      // seconds that requests wait for a server that was lost
  DiskLimits limits;
  std::string throttle_group;  // of slots that share their limits; empty: the disk's own
  unsigned io_timeout = 30;    // seconds until a request that is not done is told of; 0: never
  ErrorPolicy write_errors = ErrorPolicy::kReport, read_errors = ErrorPolicy::kReport;
  std::string log;       // the file that each write goes to as well; empty: there is none
  FaultRules faults;     // what the disk does wrong on purpose
  std::string trace;     // the file that a trace of the driver goes to; empty: there is none
  std::string conf, id;  // Ceph's configuration file and client; empty: Ceph's own

  // A file that a program of QEMU's reads for us.
  bool is_image() const { return format != ImageFormat::kRaw || snapshot; }

  bool operator==(const BlockOptions&) const = default;
};

}  // namespace acrn
