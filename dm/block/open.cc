#include "dm/block/open.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/block/engines/pool.h"
#include "dm/block/engines/uring.h"
#include "dm/block/filters/align.h"
#include "dm/block/filters/range.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/block/sources/image/image_disk.h"
#include "dm/block/sources/nbd/nbd_source.h"
#include "dm/block/sources/probe.h"
#include "dm/block/sources/ram_disk.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {
namespace {

constexpr uint32_t kSmallestSector = 512, kImageBlock = 4096;  // bytes
constexpr std::chrono::minutes kImagePatience{5};              // an image may have to be repaired when it is opened

struct Window {
  uint64_t start = 0, size = 0;
};  // bytes

Error misfit(const std::string& name, const std::string& why) {
  return Error{ErrorKind::kUsage, concat("virtio-blk ", name, ": ", why)};
}

// The whole of a file or device is served, and that is no whole number of sectors.
Error broken_sector(const BlockOptions& options, const std::string& name, uint64_t size, bool can_grow) {
  const uint64_t sector = options.logical_sector, sectors = size / sector;
  std::string advice;
  if (can_grow) advice = concat("truncate -s ", (sectors + 1) * sector, " makes it one");
  if (sectors != 0) {
    advice += concat(can_grow ? ", " : "", "range=0/", sectors, " leaves the last ", size % sector, " bytes out");
  }
  if (advice.empty()) advice = "it has not even one sector";
  const bool plain = sector == kSmallestSector;
  return {plain ? ErrorKind::kNoInput : ErrorKind::kUsage,
          concat("virtio-blk ", name, plain ? ": " : concat(": sectorsize=", sector, ": "), "size ", size,
                 " is not a multiple of ", plain ? "512 bytes" : "it", "; ", advice)};
}

// What is served of `size` bytes. `can_grow`: it is a file that may be written.
Result<Window> window_of(const BlockOptions& options, const std::string& name, uint64_t size, bool can_grow) {
  const uint64_t sector = options.logical_sector;
  if (!options.range) {
    if (size % sector == 0) return Window{0, size};
    return broken_sector(options, name, size, can_grow);
  }
  const uint64_t sectors = size / sector;
  const BlockRange& range = *options.range;
  if (range.size != 0 && range.start <= sectors && range.size <= sectors - range.start) {
    return Window{range.start * sector, range.size * sector};
  }
  return misfit(name,
                concat("range=", range.start, "/", range.size, ": ",
                       range.size == 0 ? "a window has at least one sector; there are " : "it ends outside; there are ",
                       sectors, " sectors of ", sector, " bytes"));
}

// The window as a part of an identity.
std::string window_text(const BlockOptions& options, const Window& window, const char* whole) {
  return options.range ? concat(":", window.start, "+", window.size) : whole;
}

// The window is outermost: alignment is a matter of the whole medium's bytes.
std::unique_ptr<BlockBackend> in_filters(std::unique_ptr<BlockBackend> backend, bool align, const BlockOptions& options,
                                         const Window& window) {
  if (align) backend = make_filter_align(std::move(backend));
  if (options.range) backend = make_filter_range(std::move(backend), window.start, window.size);
  return backend;
}

uint32_t physical_of(const BlockOptions& options, uint32_t found) {
  return std::max(options.physical_sector.value_or(found), options.logical_sector);
}

// What `aio=auto` stands for. The disk decides how fast direct I/O is, so what counts is how many requests it has at a
// time; cached I/O is a copy, which a ring would hand to a kernel thread (docs/adr/0020).
// A ring has no BLKDISCARD, which some block devices need.
Result<BlockEngine> choose_engine(const BlockOptions& options, bool block_device, const std::string& name) {
  if (options.engine == BlockEngine::kThreads) return options.engine;
  const bool suits = options.nocache && !(block_device && options.discard);
  if (options.engine == BlockEngine::kAuto && !suits) return BlockEngine::kThreads;
  const int error = EngineUring::unavailable();
  if (error == 0) return BlockEngine::kIoUring;
  if (options.engine == BlockEngine::kAuto) return BlockEngine::kThreads;
  return Error{ErrorKind::kUnavailable,
               concat("virtio-blk ", name, ": aio=io_uring: this host has none for us (", errno_text(error),
                      "); give aio=threads, or allow it (kernel.io_uring_disabled, seccomp)")};
}

// O_DIRECT moves whole blocks: the ends of what is served must not lie inside one, or a neighbour's bytes
// (or bytes past the end of the file) would be written with ours.
Result<void> check_direct(const DiskProbe& probe, const Window& window, const std::string& name) {
  const uint64_t unit = probe.direct_offset_align;
  if (unit == 0) return misfit(name, "nocache: its file system has no direct I/O; leave nocache out");
  if (window.start % unit == 0 && (window.start + window.size) % unit == 0) return {};
  return misfit(name, concat("nocache: direct I/O here works in blocks of ", unit, " bytes, and bytes ", window.start,
                             "..", window.start + window.size - 1,
                             " do not start and end with one; choose another range or size, or leave nocache out"));
}

struct FilePlan {
  DiskProbe probe;
  Window window;
  DiskFacts facts;
};

// Everything that can be known and refused before something is locked or started.
Result<FilePlan> plan_file(const BlockOptions& options, const std::string& path, const ProbeMode& mode) {
  auto probed = probe_disk(path, mode);
  if (!probed) return probed.error();
  FilePlan plan;
  plan.probe = std::move(probed).value();
  auto window = window_of(options, path, plan.probe.size, !options.read_only && !plan.probe.block_device);
  if (!window) return window.error();
  plan.window = window.value();
  if (options.nocache) {
    if (auto direct = check_direct(plan.probe, plan.window, path); !direct) return direct.error();
  }
  DiskFacts& facts = plan.facts;
  auto engine = choose_engine(options, plan.probe.block_device, path);
  if (!engine) return engine.error();
  facts.engine = engine.value();
  facts.info.size = plan.window.size;
  facts.info.physical_block = physical_of(options, plan.probe.physical_block);
  if (options.nocache) facts.info.offset_alignment = 512;  // what FilterAlign leaves
  facts.info.discard_granularity = plan.probe.discard_granularity;
  facts.info.read_only = options.read_only;
  // A whole file stays the same disk when it grows.
  facts.identity = plan.probe.identity + window_text(options, plan.window, ":whole");
  facts.medium = plan.probe.block_device ? "block device" : "file";
  if (options.lock) {
    facts.locked =
        DiskFacts::Bytes{plan.probe.device, plan.probe.inode, plan.window.start, plan.window.size, options.read_only};
  }
  return plan;
}

std::unique_ptr<BlockBackend> make_engine(const BlockOptions& options, const std::string& path, const std::string& slot,
                                          FilePlan& plan) {
  RawFileTraits traits;
  traits.name = path;
  traits.info = plan.facts.info;
  traits.info.size = plan.probe.size;
  traits.block_device = plan.probe.block_device;
  traits.direct = options.nocache;
  traits.lock_growth = options.lock && !options.range;
  traits.sector = options.logical_sector;
  traits.window = options.range.has_value();
  if (options.nocache) {
    traits.info.offset_alignment = plan.probe.direct_offset_align;
    // Some file systems want whole blocks in each vector, too.
    traits.info.memory_alignment = std::max(plan.probe.direct_offset_align, plan.probe.direct_memory_align);
  }
  auto file = std::make_unique<RawFile>(std::move(plan.probe.fd), traits);
  if (plan.facts.engine == BlockEngine::kIoUring) {
    return std::make_unique<EngineUring>(std::move(file));
  }
  return std::make_unique<EnginePool>(std::move(file), concat("blk", slot));
}

ByteLock lock_of(const BlockOptions& options, const std::string& path, const FilePlan& plan) {
  return {plan.probe.fd.fd(), plan.window.start, plan.window.size, options.read_only, path};
}

ProbeMode mode_of(const BlockOptions& options, bool only_look) {
  return {.writable = !options.read_only, .direct = options.nocache, .only_look = only_look};
}

Result<OpenedDisk> open_file(const BlockOptions& options, const std::string& path, const std::string& slot) {
  auto planned = plan_file(options, path, mode_of(options, false));
  if (!planned) return planned.error();
  FilePlan plan = std::move(planned).value();
  if (const auto format = format_by_magic(plan.probe.fd.fd()); !format.empty() && !options.range) {
    log(LogLevel::kWarning,
        concat("virtio-blk ", path, ": served as it is, though it begins like an image; give format=", format,
               " to serve what it holds"));
  }
  if (options.lock) {
    if (auto locked = lock_of(options, path, plan).take(kLockTries); !locked) return locked.error();
  }
  auto engine = make_engine(options, path, slot, plan);
  OpenedDisk disk{std::move(plan.facts), std::move(engine)};
  disk.backend = in_filters(std::move(disk.backend), options.nocache, options, plan.window);
  return disk;
}

struct RamPlan {
  Window window;
  DiskFacts facts;
};

Result<RamPlan> plan_ram(const BlockOptions& options, uint64_t size, const std::string& slot) {
  const std::string name = concat("ram:", size);
  if (size == 0 || size % 512 != 0) return misfit(name, "the size is a multiple of 512 bytes and not 0");
  auto window = window_of(options, name, size, false);
  if (!window) return window.error();
  RamPlan plan;
  plan.window = window.value();
  plan.facts.info.size = plan.window.size;
  plan.facts.info.physical_block = physical_of(options, 512);
  plan.facts.info.discard_granularity = kRamDiskGranularity;
  plan.facts.info.read_only = options.read_only;
  plan.facts.identity = concat("ram:", slot);
  plan.facts.medium = "ram";
  return plan;
}

Result<OpenedDisk> open_ram(const BlockOptions& options, uint64_t size, const std::string& slot) {
  auto plan = plan_ram(options, size, slot);
  if (!plan) return plan.error();
  BlockInfo info = plan.value().facts.info;
  info.size = size;
  auto ram = make_ram_disk(info);
  if (!ram) return ram.error();
  OpenedDisk disk{plan.value().facts, std::move(ram).value()};
  disk.backend = in_filters(std::move(disk.backend), false, options, plan.value().window);
  return disk;
}

struct NbdPlan {
  NbdFacts found;
  Window window;
  DiskFacts facts;
};

Result<NbdPlan> plan_nbd(const BlockOptions& options, const std::string& uri) {
  const auto found = inspect_nbd(uri);
  if (!found) return found.error();
  if (found.value().size == 0) return misfit(uri, "the export is empty");
  if (found.value().read_only && !options.read_only) return misfit(uri, "the export is read-only; give ro");
  auto window = window_of(options, uri, found.value().size, false);
  if (!window) return window.error();
  NbdPlan plan{found.value(), window.value(), {}};
  DiskFacts& facts = plan.facts;
  facts.info.size = plan.window.size;
  facts.info.physical_block = physical_of(options, std::max(kSmallestSector, plan.found.preferred));
  facts.info.discard_granularity = std::max(kSmallestSector, plan.found.preferred);
  facts.info.read_only = options.read_only;
  facts.identity = concat("nbd:", uri, window_text(options, plan.window, ":whole"));
  facts.medium = "nbd";
  return plan;
}

Result<OpenedDisk> open_nbd(const BlockOptions& options, const std::string& uri) {
  auto planned = plan_nbd(options, uri);
  if (!planned) return planned.error();
  NbdPlan& plan = planned.value();
  BlockInfo info = plan.facts.info;
  info.offset_alignment = plan.found.least;
  NbdPlace place{.uri = uri, .name = uri, .patience = std::chrono::seconds(options.reconnect)};
  OpenedDisk disk{plan.facts, std::make_unique<NbdSource>(std::move(place), plan.found, info)};
  disk.backend = in_filters(std::move(disk.backend), plan.found.least > kSmallestSector, options, plan.window);
  return disk;
}

// A file whose bytes are not the disk's: another program reads its format.
bool is_image(const BlockOptions& options) { return options.format != ImageFormat::kRaw || options.snapshot; }

struct ImagePlan {
  Window window;
  DiskFacts facts;
};

Result<ImagePlan> plan_image(const BlockOptions& options, const std::string& path) {
  auto probed =
      probe_disk(path, {.writable = !options.read_only && !options.snapshot, .direct = false, .only_look = true});
  if (!probed) return probed.error();
  if (probed.value().block_device) return misfit(path, "format: for a regular file, not for a block device");
  auto image = inspect_image(path, options.format, options.follow_backing);
  if (!image) return image.error();
  auto window = window_of(options, path, image.value().virtual_size, false);
  if (!window) return window.error();
  ImagePlan plan{window.value(), {}};
  DiskFacts& facts = plan.facts;
  facts.info.size = plan.window.size;
  facts.info.physical_block = physical_of(options, kImageBlock);
  facts.info.discard_granularity = kImageBlock;
  facts.info.read_only = options.read_only;
  facts.identity = concat(probed.value().identity, ":", name_of(options.format), window_text(options, plan.window, ""));
  facts.medium = "image";
  facts.image = std::move(image).value();
  return plan;
}

Result<OpenedDisk> open_image(const BlockOptions& options, const std::string& path) {
  auto planned = plan_image(options, path);
  if (!planned) return planned.error();
  ImagePlan& plan = planned.value();
  auto server = ImageServer::start(path, options, *plan.facts.image);
  if (!server) return server.error();
  const auto found = inspect_nbd(server.value()->uri(), kImagePatience);
  if (!found) {
    if (server.value()->is_missing()) {
      return Error{ErrorKind::kUnavailable, concat("virtio-blk ", path, ": there is no qemu-nbd; install qemu-utils")};
    }
    const std::string words = server.value()->last_words();
    return Error{ErrorKind::kNoInput, concat("virtio-blk ", path, ": format=", name_of(options.format), ": ",
                                             words.empty() ? found.error().message : words)};
  }
  if (found.value().size < plan.window.start + plan.window.size) return misfit(path, "the image has just changed");
  BlockInfo info = plan.facts.info;
  info.size = found.value().size;
  info.offset_alignment = found.value().least;
  OpenedDisk disk{plan.facts, std::make_unique<ImageDisk>(std::move(server).value(), path, found.value(), info)};
  disk.backend = in_filters(std::move(disk.backend), info.offset_alignment > kSmallestSector, options, plan.window);
  return disk;
}

}  // namespace

DiskFacts no_disk(const BlockOptions& options, const std::string& slot) {
  DiskFacts facts;
  facts.info.physical_block = physical_of(options, 512);
  facts.info.read_only = options.read_only;
  facts.identity = concat("nodisk:", slot);
  facts.medium = "nodisk";
  return facts;
}

Result<DiskFacts> inspect_disk(const BlockOptions& options, const std::string& slot) {
  if (const auto* file = std::get_if<FilePath>(&options.source)) {
    if (is_image(options)) {
      auto image = plan_image(options, file->path);
      if (!image) return image.error();
      return std::move(image).value().facts;
    }
    auto plan = plan_file(options, file->path, mode_of(options, true));
    if (!plan) return plan.error();
    return std::move(plan).value().facts;
  }
  if (const auto* nbd = std::get_if<NbdUri>(&options.source)) {
    auto plan = plan_nbd(options, nbd->uri);
    if (!plan) return plan.error();
    return std::move(plan).value().facts;
  }
  if (const auto* ram = std::get_if<RamDiskSource>(&options.source)) {
    auto plan = plan_ram(options, ram->size, slot);
    if (!plan) return plan.error();
    return plan.value().facts;
  }
  return no_disk(options, slot);
}

Result<void> check_unlocked(const BlockOptions& options) {
  const auto* file = std::get_if<FilePath>(&options.source);
  if (file == nullptr || !options.lock || is_image(options)) return {};
  const auto plan = plan_file(options, file->path, mode_of(options, true));
  if (!plan) return plan.error();
  return lock_of(options, file->path, plan.value()).look(kLockTries);
}

bool exclude_each_other(const DiskFacts::Bytes& a, const DiskFacts::Bytes& b) {
  if (a.device != b.device || a.inode != b.inode || (a.shared && b.shared)) return false;
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

Result<OpenedDisk> open_disk(const BlockOptions& options, const std::string& slot) {
  if (const auto* file = std::get_if<FilePath>(&options.source)) {
    return is_image(options) ? open_image(options, file->path) : open_file(options, file->path, slot);
  }
  if (const auto* nbd = std::get_if<NbdUri>(&options.source)) return open_nbd(options, nbd->uri);
  if (const auto* ram = std::get_if<RamDiskSource>(&options.source)) return open_ram(options, ram->size, slot);
  return OpenedDisk{no_disk(options, slot), nullptr};
}

}  // namespace acrn
