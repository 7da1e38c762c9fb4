// The UUID of a virtual machine. Pure. The only user of libuuid.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace acrn {

struct VmUuid {
  std::array<uint8_t, 16> bytes{};  // in the order of the text
  friend bool operator==(const VmUuid&, const VmUuid&) = default;
};

// 36 characters, hexadecimal of either case with the usual hyphens.
std::optional<VmUuid> parse_uuid(std::string_view text);
// Name-based (RFC 4122 version 5, SHA-1): the same name has the same UUID on every host and start.
VmUuid uuid_of_name(std::string_view vm_name);
// Lower case.
std::string to_text(const VmUuid& uuid);

}  // namespace acrn
