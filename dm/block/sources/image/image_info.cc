#include "dm/block/sources/image/image_info.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/child_process.h"

namespace acrn {
namespace {

using Json = nlohmann::json;

constexpr std::chrono::seconds kPatience{30};
constexpr size_t kMostBacking = 64;
constexpr uint64_t kMostRounds = 100'000'000;  // a minute

std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

Json object_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_object() ? *found : Json::object();
}

uint64_t number_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

// Of one file, whatever its header names.
Result<Json> look_at(const std::string& path, std::string_view format) {
  ChildProcess::Plan plan{.command = {"qemu-img", "info", "--output=json", "--force-share", "-f", std::string(format),
                                      concat(file_driver(path), ":", path)},
                          .read = {path}};
  auto output = output_of(std::move(plan), kPatience);
  if (!output) return output.error();
  Json json = Json::parse(output.value(), nullptr, false);
  if (!json.is_object()) return Error{ErrorKind::kNoInput, "qemu-img says nothing of it"};
  return json;
}

Error unfit(std::string why) { return {ErrorKind::kNoInput, std::move(why)}; }

// What `file`'s header says is all in that file.
Result<void> check_alone(const std::string& file, const Json& about) {
  const Json specific = object_at(object_at(about, "format-specific"), "data");
  if (const std::string data = text_at(specific, "data-file"); !data.empty()) {
    return unfit(concat("its header names a data file, ", data, ", which is never followed"));
  }
  const auto extents = specific.find("extents");
  if (extents == specific.end()) return {};
  for (const Json& extent : *extents) {
    const std::string other = extent.is_object() ? text_at(extent, "filename") : "";
    if (other == file || other == concat(file_driver(file), ":", file)) continue;
    return unfit(concat("its header names another file, ", other, "; only images in one file are served"));
  }
  return {};
}

// A header says how often a key is hashed, and QEMU does as it says before it listens to anybody.
Result<void> check_work(const Json& about) {
  const Json specific = object_at(object_at(about, "format-specific"), "data");
  uint64_t rounds = number_at(specific, "master-key-iters");
  if (const auto slots = specific.find("slots"); slots != specific.end()) {
    for (const Json& slot : *slots) rounds += slot.is_object() ? number_at(slot, "iters") : 0;
  }
  if (rounds <= kMostRounds) return {};
  return unfit(
      concat("its header asks for ", rounds, " rounds of hashing to open it, and more than ", kMostRounds,
             " are not done; give it a key slot with fewer (cryptsetup luksChangeKey --pbkdf-force-iterations)"));
}

// What a file of which that is known is an overlay of.
Result<std::optional<ImageInfo::Backing>> backing_of(const Json& about, bool follow) {
  const std::string backing = text_at(about, "full-backing-filename");
  if (backing.empty()) return std::optional<ImageInfo::Backing>();
  if (!follow) {
    return unfit(concat("its header names a backing file, ", backing, "; give backing=follow to use it"));
  }
  // Such a name is no path to QEMU, which would go where it says.
  if (const size_t colon = backing.find(':'); colon < backing.find('/')) {
    return unfit(concat("its header names ", backing, ", which is no file"));
  }
  const std::string format = text_at(about, "backing-filename-format");
  const auto known = std::find(kImageFormatNames.begin(), kImageFormatNames.end(), format);
  if (known == kImageFormatNames.end()) {
    return unfit(concat("its header does not say of which format ", backing, " is",
                        format.empty() ? "" : concat(", but ", format)));
  }
  return std::optional<ImageInfo::Backing>({backing, static_cast<ImageFormat>(known - kImageFormatNames.begin())});
}

}  // namespace

std::string_view file_driver(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode) ? "host_device" : "file";
}

Result<ImageInfo> inspect_image(const std::string& path, ImageFormat format, bool follow) {
  ImageInfo info;
  for (ImageInfo::Backing file{path, format};;) {
    const auto refuse = [&](const Error& error) {
      return Error{error.kind, concat("virtio-blk ", file.path, ": format=", name_of(format), ": ", error.message)};
    };
    const auto json = look_at(file.path, name_of(file.format));
    if (!json) return refuse(json.error());
    const Json& about = json.value();
    if (info.backing.empty()) {
      info.virtual_size = number_at(about, "virtual-size");
      info.allocated = number_at(about, "actual-size");
    }
    if (const auto alone = check_alone(file.path, about); !alone) return refuse(alone.error());
    if (const auto work = check_work(about); !work) return refuse(work.error());
    auto next = backing_of(about, follow);
    if (!next) return refuse(next.error());
    if (!next.value()) return info;
    if (info.backing.size() == kMostBacking) return refuse(unfit("its chain of backing files is too long"));
    file = std::move(*next.value());
    info.backing.push_back(file);
  }
}

std::string_view format_by_magic(int fd) {
  struct Magic {
    off_t at;
    std::string_view bytes, format;
  };
  constexpr std::array<Magic, 6> kMagics{{{0, "QFI\xfb", "qcow2"},
                                          {0, "KDMV", "vmdk"},
                                          {0, "# Disk DescriptorFile", "vmdk"},
                                          {64, "\x7f\x10\xda\xbe", "vdi"},
                                          {0, "conectix", "vpc"},
                                          {0, "vhdxfile", "vhdx"}}};
  for (const Magic& magic : kMagics) {
    std::array<char, 32> found{};
    const ssize_t size = ::pread(fd, found.data(), magic.bytes.size(), magic.at);
    if (size > 0 && std::string_view(found.data(), static_cast<size_t>(size)) == magic.bytes) return magic.format;
  }
  return {};
}

Result<void> create_overlay(int file, uint64_t size) {
  auto made = output_of({.command = {"qemu-img", "create", "-q", "-f", "qcow2",
                                     concat("file:/proc/self/fd/", ChildProcess::kFile), std::to_string(size)},
                         .file = file},
                        kPatience);
  if (made) return {};
  return made.error();
}

std::vector<std::string> key_arguments(const BlockOptions& options) {
  if (options.key.empty()) return {};
  return {"--object", Json({{"qom-type", "secret"}, {"id", kKeyName}, {"file", options.key}}).dump()};
}

Result<void> create_image(const std::string& path, const BlockOptions& options, uint64_t size) {
  ChildProcess::Plan plan{.command = {"qemu-img", "create"}, .read_write = {path}};
  for (std::string& word : key_arguments(options)) plan.command.push_back(std::move(word));
  if (!options.key.empty()) {
    plan.command.insert(plan.command.end(), {"-o", concat("key-secret=", kKeyName)});
    plan.read.push_back(options.key);
  }
  plan.command.insert(plan.command.end(),
                      {"-q", "-f", std::string(name_of(options.format)), concat("file:", path), std::to_string(size)});
  const auto made = output_of(std::move(plan), kPatience);
  if (made) return {};
  return Error{made.error().kind,
               concat("virtio-blk ", path, ": format=", name_of(options.format), ": ", made.error().message)};
}

}  // namespace acrn
