#include "dm/hypervisor/acrn/affinity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr const char* kTable = "/sys/firmware/acpi/tables/APIC";
constexpr size_t kMaxCpus = 64;  // in the bitmap

// Local APIC IDs in the order of the table.
std::vector<unsigned> enabled_lapics(std::span<const std::byte> madt) {
  constexpr size_t kFirstEntry = 44, kLocalApicLength = 8;
  constexpr std::byte kLocalApic{0};
  std::vector<unsigned> ids;
  for (size_t at = kFirstEntry; at + 2 <= madt.size();) {
    const auto length = std::to_integer<size_t>(madt[at + 1]);
    if (length < 2 || length > madt.size() - at) break;
    if (madt[at] == kLocalApic && length >= kLocalApicLength) {
      uint32_t flags;
      std::memcpy(&flags, &madt[at + 4], sizeof(flags));
      if ((flags & 1) != 0) ids.push_back(std::to_integer<unsigned>(madt[at + 3]));
    }
    at += length;
  }
  return ids;
}

}  // namespace

Result<uint64_t> affinity_bitmap(std::span<const unsigned> lapic_ids, std::span<const std::byte> madt) {
  const std::vector<unsigned> known = enabled_lapics(madt);
  uint64_t bitmap = 0;
  for (const unsigned id : lapic_ids) {
    const auto found = static_cast<size_t>(std::find(known.begin(), known.end(), id) - known.begin());
    if (found == known.size() || found >= kMaxCpus) {
      std::string ids;
      for (const unsigned each : known) ids += concat(ids.empty() ? "" : ",", each);
      return Error{ErrorKind::kUsage, concat("--cpu_affinity: no CPU has the local APIC ID ", id, "; there are ", ids)};
    }
    bitmap |= uint64_t{1} << found;
  }
  return bitmap;
}

Result<std::vector<std::byte>> read_madt() {
  const UniqueFd fd(::open(kTable, O_RDONLY | O_CLOEXEC));
  std::vector<std::byte> table;
  std::array<std::byte, 4096> part;
  ssize_t count = -1;
  while (fd && (count = ::read(fd.fd(), part.data(), part.size())) > 0)
    table.insert(table.end(), part.begin(), part.begin() + count);
  if (count == 0 && !table.empty()) return table;
  return Error{
      ErrorKind::kUnavailable,
      concat("--cpu_affinity: ", kTable, ": ", errno_text(count < 0 ? errno : ENODATA),
             "; it says which local APIC is which CPU: run as root on the Service VM, or leave the option out")};
}

}  // namespace acrn
