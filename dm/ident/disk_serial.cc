#include "dm/ident/disk_serial.h"

#include "dm/ident/sha256.h"

namespace acrn {

std::string disk_serial(std::string_view identity) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(identity)));
  std::string digits = hash.finish_hex().substr(0, 12);
  for (char& digit : digits) {
    if (digit >= 'a') digit = static_cast<char>(digit - 'a' + 'A');
  }
  return "ACRN--" + digits.substr(0, 4) + "-" + digits.substr(4, 4) + "-" + digits.substr(8, 4);
}

}  // namespace acrn
