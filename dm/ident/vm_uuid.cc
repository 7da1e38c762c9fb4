#include "dm/ident/vm_uuid.h"

#include <uuid/uuid.h>

namespace acrn {
namespace {

// The name space of this program's VM names. Never change it: guests keep their UUIDs by it.
constexpr uuid_t kVmNames = {0x5e, 0x0c, 0x61, 0x27, 0x9b, 0x3f, 0x4d, 0x12,
                             0xa6, 0x58, 0x27, 0xc4, 0x1d, 0x90, 0x73, 0xee};
constexpr size_t kTextSize = 36;

}  // namespace

std::optional<VmUuid> parse_uuid(std::string_view text) {
  VmUuid uuid;
  if (text.size() != kTextSize) return std::nullopt;
  if (uuid_parse(std::string(text).c_str(), uuid.bytes.data()) != 0) return std::nullopt;
  return uuid;
}

VmUuid uuid_of_name(std::string_view vm_name) {
  VmUuid uuid;
  uuid_generate_sha1(uuid.bytes.data(), kVmNames, vm_name.data(), vm_name.size());
  return uuid;
}

std::string to_text(const VmUuid& uuid) {
  char text[kTextSize + 1];
  uuid_unparse_lower(uuid.bytes.data(), text);
  return text;
}

}  // namespace acrn
