#include "dm/block/sources/image/open_image.h"

#include <sys/stat.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/landlock.h"
#include "dm/block/disk_plan.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/block/sources/image/image_disk.h"
#include "dm/block/sources/image/image_info.h"
#include "dm/block/sources/key_file.h"
#include "dm/block/sources/probe.h"

namespace acrn {
namespace {

constexpr uint32_t kImageBlock = 4096;  // bytes

// Where QEMU locks an image (its block/file-posix.c): a byte for what a user does, and one for what it lets nobody do.
constexpr uint64_t kQemuLocks = 100, kQemuLocksSize = 200, kQemuExcludesReaders = 200;

bool writes_image(const BlockOptions& options) { return !options.read_only && !options.snapshot; }

Result<DiskProbe> probe_image(const BlockOptions& options, const std::string& path) {
  return probe_disk(path, {.writable = writes_image(options), .direct = false, .only_look = true});
}

bool is_utf8(const std::string& text) {
  using Json = nlohmann::json;
  const auto dump = [&](Json::error_handler_t handler) { return Json(text).dump(-1, ' ', false, handler); };
  return dump(Json::error_handler_t::ignore) == dump(Json::error_handler_t::replace);
}

Result<DiskPlan> plan_image(const BlockOptions& options, const std::string& path) {
  const auto probed = probe_image(options, path);
  if (!probed) return probed.error();
  const DiskProbe& probe = probed.value();
  if (!is_utf8(path)) return misfit(path, "format: for a path in UTF-8; give the file another name");
  if (!options.key.empty()) {
    if (!is_utf8(options.key)) return misfit(path, concat("key=", options.key, ": a path in UTF-8 is needed"));
    if (const std::string why = why_no_key_file(options.key); !why.empty()) {
      return Error{ErrorKind::kNoInput, concat("virtio-blk ", path, ": key=", options.key, ": ", why)};
    }
  }
  auto image = inspect_image(path, options.format, options.follow_backing);
  if (!image) return image.error();
  const bool raw = options.format == ImageFormat::kRaw;
  auto plan =
      plan_disk(options, {.name = path,
                          .kind = "image",
                          .identity = raw ? probe.identity : concat(probe.identity, ":", name_of(options.format)),
                          .size = image.value().virtual_size,
                          .physical_block = kImageBlock,
                          .discard_granularity = kImageBlock});
  if (!plan) return plan.error();
  DiskFacts& facts = plan.value().facts;
  facts.image = std::move(image).value();
  facts.image->reader = reader_of(options);
  if (options.share && facts.image->reader != ImageReader::kStorageDaemon) {
    return misfit(path, "share=on: only qemu-storage-daemon can do that; install qemu-system-common, or leave it out");
  }
  if (!options.lock) return plan;
  facts.locked.push_back({path, probe.device, probe.inode, 0, kWholeFile, !writes_image(options)});
  for (const ImageInfo::Backing& backing : facts.image->backing) {
    struct stat file;
    if (::stat(backing.path.c_str(), &file) != 0) continue;
    const auto [device, inode] = medium_of(file);
    facts.locked.push_back({backing.path, device, inode, 0, kWholeFile, true});
  }
  return plan;
}

}  // namespace

Result<DiskFacts> inspect_image_disk(const BlockOptions& options, const std::string& path) {
  return take_facts(plan_image(options, path));
}

Result<void> check_image_unlocked(const BlockOptions& options, const std::string& path) {
  const auto probed = probe_image(options, path);
  if (!probed) return probed.error();
  const int file = probed.value().fd.fd();
  const bool writes = writes_image(options);
  const bool free = writes ? ByteLock{file, kQemuLocks, kQemuLocksSize, false, path}.look(kLockTries).ok()
                           : ByteLock{file, kQemuWrites, 1, false, path}.look(kLockTries).ok() &&
                                 ByteLock{file, kQemuExcludesReaders, 1, false, path}.look(kLockTries).ok();
  if (free) return {};
  return bytes_in_use(path, 0, kWholeFile, "another disk or process");
}

Result<OpenedDisk> open_image_disk(const BlockOptions& options, const std::string& path) {
  const auto planned = plan_image(options, path);
  if (!planned) return planned.error();
  const DiskPlan& plan = planned.value();
  if (LandlockRules().fd() < 0) {
    log(LogLevel::kWarning, concat("virtio-blk ", path,
                                   ": this kernel has no Landlock, so nothing but QEMU's program itself "
                                   "keeps it from other files"));
  }
  auto image = ImageDisk::open(path, options, *plan.facts.image, plan.facts.info);
  if (!image) return image.error();
  const BlockInfo found = image.value()->info();
  if (found.size < plan.start + plan.facts.info.size) return misfit(path, "the image has just changed");
  const bool align = found.offset_alignment > kSmallestSector;
  return OpenedDisk{plan.facts, in_filters(std::move(image).value(), align, options, plan)};
}

}  // namespace acrn
