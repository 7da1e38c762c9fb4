#include "dm/block/sources/open_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/block/disk_plan.h"
#include "dm/block/engines/pool.h"
#include "dm/block/engines/uring.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/block/sources/image/image_info.h"
#include "dm/block/sources/probe.h"
#include "dm/block/sources/raw_file.h"
#include "dm/mem/shared_mapping.h"

namespace acrn {
namespace {

struct FilePlan : DiskPlan {
  DiskProbe probe;
  std::optional<ByteLock> unlock;
};

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

// What `map=` stands for.
Result<MapMode> choose_mapping(const BlockOptions& options, const DiskProbe& probe, const std::string& name) {
  if (options.map == MapMode::kOff || options.nocache || options.dontcache) return MapMode::kOff;
  // The host of a library has to say that it calls acrn_blk_handle_sigbus().
  if (options.map == MapMode::kAuto && !SharedMapping::has_handler()) return MapMode::kOff;
  const std::string why_not = MappedReads::unsuited(probe.fd.fd(), probe.block_device);
  if (why_not.empty()) return MapMode::kOn;
  if (options.map == MapMode::kAuto) return MapMode::kOff;
  return misfit(name, concat("map=on: ", why_not, "; leave it out"));
}

// O_DIRECT moves whole blocks: the ends of what is served must not lie inside one, or a neighbour's bytes
// (or bytes past the end of the file) would be written with ours.
Result<void> check_direct(const FilePlan& plan, const std::string& name) {
  const uint64_t unit = plan.probe.direct_offset_align, end = plan.start + plan.facts.info.size;
  if (unit == 0) return misfit(name, "nocache: its file system has no direct I/O; leave nocache out");
  if (plan.start % unit == 0 && end % unit == 0) return {};
  return misfit(name,
                concat("nocache: direct I/O here works in blocks of ", unit, " bytes, and bytes ", plan.start, "..",
                       end - 1, " do not start and end with one; choose another range or size, or leave nocache out"));
}

// Everything that can be known and refused before something is locked or started.
Result<FilePlan> plan_file(const BlockOptions& options, const std::string& path, const ProbeMode& mode) {
  auto probed = probe_disk(path, mode);
  if (!probed) return probed.error();
  const DiskProbe& probe = probed.value();
  auto disk = plan_disk(options, {.name = path,
                                  .kind = probe.block_device ? "block device" : "file",
                                  .identity = probe.identity,
                                  .size = probe.size,
                                  .physical_block = probe.physical_block,
                                  .discard_granularity = probe.discard_granularity,
                                  .can_grow = !options.read_only && !probe.block_device});
  if (!disk) return disk.error();
  FilePlan plan{std::move(disk).value(), std::move(probed).value()};
  if (options.nocache) {
    if (auto direct = check_direct(plan, path); !direct) return direct.error();
    plan.facts.info.offset_alignment = kSmallestSector;  // what FilterAlign leaves
  }
  if (options.dontcache && !RawFile::knows_dont_cache(plan.probe.fd.fd())) {
    return misfit(path, "dontcache: this host cannot do without caching it (RWF_DONTCACHE); leave it out");
  }
  auto engine = choose_engine(options, plan.probe.block_device, path);
  if (!engine) return engine.error();
  plan.facts.engine = engine.value();
  auto map = choose_mapping(options, plan.probe, path);
  if (!map) return map.error();
  plan.facts.map = map.value();
  if (!options.range) plan.facts.looks_like = format_by_magic(plan.probe.fd.fd());
  if (options.lock) {
    plan.facts.locked.push_back(
        {path, plan.probe.device, plan.probe.inode, plan.start, plan.facts.info.size, options.read_only});
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
  traits.dont_cache = options.dontcache;
  traits.lock_growth = options.lock && !options.range;
  traits.sector = options.logical_sector;
  traits.map_reads = plan.facts.map == MapMode::kOn;
  // What was sent is of a file that this process may not open; and a ring does not call execute().
  traits.reopen = !plan.probe.sent && plan.facts.engine != BlockEngine::kIoUring;
  traits.window = options.range.has_value();
  traits.unlock = plan.unlock;
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
  return {.fd = plan.probe.fd.fd(),
          .start = plan.start,
          .length = plan.facts.info.size,
          .shared = options.read_only,
          .name = path,
          .sent = plan.probe.sent};
}

// `take`: not only looked at.
Result<void> lock_bytes(const BlockOptions& options, const std::string& path, const FilePlan& plan, bool take) {
  const ByteLock lock = lock_of(options, path, plan);
  if (auto had = take ? lock.take(kLockTries) : lock.look(kLockTries); !had) return had;
  if (!options.read_only || !is_written_by_qemu(lock.fd, kLockTries)) return {};
  return bytes_in_use(path, lock.start, lock.length, "a program of QEMU's that writes them");
}

ProbeMode mode_of(const BlockOptions& options, bool only_look) {
  return {.writable = !options.read_only, .direct = options.nocache, .only_look = only_look};
}

}  // namespace

Result<DiskFacts> inspect_file(const BlockOptions& options, const std::string& path) {
  return take_facts(plan_file(options, path, mode_of(options, true)));
}

Result<void> check_file_unlocked(const BlockOptions& options, const std::string& path) {
  const auto plan = plan_file(options, path, mode_of(options, true));
  if (!plan) return plan.error();
  return lock_bytes(options, path, plan.value(), false);
}

Result<OpenedDisk> open_file(const BlockOptions& options, const std::string& path, const std::string& slot, int sent) {
  ProbeMode mode = mode_of(options, false);
  mode.sent = sent;
  auto planned = plan_file(options, path, mode);
  if (!planned) return planned.error();
  FilePlan& plan = planned.value();
  if (!plan.facts.looks_like.empty()) {
    log(LogLevel::kWarning,
        concat("virtio-blk ", path, ": served as it is, though it begins like an image; give format=",
               plan.facts.looks_like, " to serve what it holds"));
  }
  if (options.lock) {
    if (auto locked = lock_bytes(options, path, plan, true); !locked) return locked.error();
  }
  if (options.lock && plan.probe.sent && !options.read_only) {
    plan.unlock = lock_of(options, path, plan);
    if (!options.range) plan.unlock->length = kWholeFile;  // it may grow
  }
  auto engine = make_engine(options, path, slot, plan);
  return OpenedDisk{plan.facts, in_filters(std::move(engine), options.nocache, options, plan)};
}

}  // namespace acrn
