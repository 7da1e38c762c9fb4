#include "dm/block/open.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <variant>

#include "acrn/base/concat.h"
#include "dm/block/disk_plan.h"
#include "dm/block/filters/fault.h"
#include "dm/block/filters/write_log.h"
#include "dm/block/sources/image/open_image.h"
#include "dm/block/sources/nbd/open_nbd.h"
#include "dm/block/sources/open_file.h"
#include "dm/block/sources/open_ram.h"
#include "dm/block/sources/rbd/open_rbd.h"
#include "dm/block/sources/vhost_user/open_vhost_user.h"

namespace acrn {
namespace {

bool exclude_each_other(const DiskFacts::Bytes& a, const DiskFacts::Bytes& b) {
  if (a.device != b.device || a.inode != b.inode || (a.shared && b.shared)) return false;
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

Result<OpenedDisk> open_source(const BlockOptions& options, const std::string& slot) {
  if (const auto* file = std::get_if<FilePath>(&options.source)) {
    return options.is_image() ? open_image_disk(options, file->path) : open_file(options, file->path, slot);
  }
  if (const auto* sent = std::get_if<SentFile>(&options.source)) return open_file(options, sent->name, slot, sent->fd);
  if (const auto* nbd = std::get_if<NbdUri>(&options.source)) return open_nbd_disk(options, nbd->uri);
  if (const auto* server = std::get_if<VhostUserSocket>(&options.source)) {
    return open_vhost_user_disk(options, server->path);
  }
  if (const auto* image = std::get_if<RbdName>(&options.source)) return open_rbd_disk(options, *image);
  if (const auto* ram = std::get_if<RamDiskSource>(&options.source)) return open_ram(options, ram->size, slot);
  return OpenedDisk{no_disk(options, slot), nullptr};
}

}  // namespace

DiskFacts no_disk(const BlockOptions& options, const std::string& slot) {
  DiskFacts facts;
  facts.info.physical_block = physical_of(options, kSmallestSector);
  facts.info.read_only = options.read_only;
  facts.identity = concat("nodisk:", slot);
  facts.medium = "nodisk";
  return facts;
}

Result<DiskFacts> inspect_disk(const BlockOptions& options, const std::string& slot) {
  if (const auto* file = std::get_if<FilePath>(&options.source)) {
    return options.is_image() ? inspect_image_disk(options, file->path) : inspect_file(options, file->path);
  }
  if (const auto* nbd = std::get_if<NbdUri>(&options.source)) return inspect_nbd_disk(options, nbd->uri);
  if (const auto* server = std::get_if<VhostUserSocket>(&options.source)) {
    return inspect_vhost_user_disk(options, server->path);
  }
  if (const auto* image = std::get_if<RbdName>(&options.source)) return inspect_rbd_disk(options, *image);
  if (const auto* ram = std::get_if<RamDiskSource>(&options.source)) return inspect_ram(options, ram->size, slot);
  return no_disk(options, slot);
}

Result<OpenedDisk> open_disk(const BlockOptions& options, const std::string& slot) {
  auto opened = open_source(options, slot);
  if (opened && opened.value().backend != nullptr && !options.log.empty()) {
    auto log = WriteLog::create(options.log);
    if (!log) return log.error();
    OpenedDisk& disk = opened.value();
    disk.log = log.value();
    disk.backend = make_filter_log(std::move(disk.backend), std::move(log).value());
  }
  if (opened && opened.value().backend != nullptr && !options.faults.rules.empty()) {
    opened.value().backend = make_filter_fault(std::move(opened.value().backend), options.faults.rules);
  }
  return opened;
}

SentFile sent_file(int fd) {
  std::array<char, 4096> name;
  const ssize_t size = ::readlink(concat("/proc/self/fd/", fd).c_str(), name.data(), name.size());
  return {.fd = fd, .name = std::string(name.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)))};
}

Result<void> check_unlocked(const BlockOptions& options) {
  const auto* file = std::get_if<FilePath>(&options.source);
  if (file == nullptr || !options.lock) return {};
  return options.is_image() ? check_image_unlocked(options, file->path) : check_file_unlocked(options, file->path);
}

const DiskFacts::Bytes* find_conflict(const DiskFacts& earlier, const DiskFacts& later) {
  for (const DiskFacts::Bytes& a : earlier.locked) {
    for (const DiskFacts::Bytes& b : later.locked) {
      if (exclude_each_other(a, b)) return &b;
    }
  }
  return nullptr;
}

}  // namespace acrn
