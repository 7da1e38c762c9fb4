#include "dm/block/sources/device_identity.h"

#include <fstream>
#include <utility>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

// The one line of an attribute, without blanks around it; empty if there is none.
std::string attribute(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find_first_not_of(" \t"), end = line.find_last_not_of(" \t");
  return begin == std::string::npos ? std::string() : line.substr(begin, end - begin + 1);
}

// A part of the file may be a device of its own.
std::string loop_identity(const std::string& sysfs) {
  const std::string file = attribute(sysfs + "/loop/backing_file");
  if (file.empty()) return {};
  const std::string offset = attribute(sysfs + "/loop/offset"), limit = attribute(sysfs + "/loop/sizelimit");
  const bool whole = (offset.empty() || offset == "0") && (limit.empty() || limit == "0");
  return whole ? "loop:" + file : concat("loop:", file, ":", offset, "+", limit);
}

// Empty: nothing is known of it.
std::string medium_identity(const std::string& sysfs) {
  if (const std::string number = attribute(sysfs + "/partition"); !number.empty()) {
    const std::string disk = medium_identity(sysfs + "/..");
    return disk.empty() ? disk : concat(disk, ":part", number);
  }
  if (std::string loop = loop_identity(sysfs); !loop.empty()) return loop;
  // In this order: a controller's serial is that of all its disks, a card's is short.
  constexpr std::pair<const char*, const char*> kNames[] = {
      {"dm:", "/dm/uuid"},    {"md:", "/md/uuid"},        {"wwid:", "/wwid"},           {"wwid:", "/device/wwid"},
      {"serial:", "/serial"}, {"serial:", "/device/cid"}, {"serial:", "/device/serial"}};
  for (const auto& [kind, name] : kNames) {
    if (const std::string text = attribute(sysfs + name); !text.empty()) return kind + text;
  }
  return {};
}

}  // namespace

std::string device_identity(const std::string& sysfs, const std::string& path) {
  const std::string medium = medium_identity(sysfs);
  return medium.empty() ? "device:" + path : medium;
}

}  // namespace acrn
