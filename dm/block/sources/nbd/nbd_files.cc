#include "dm/block/sources/nbd/nbd_files.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>

namespace acrn {
namespace {

// Bytes as they are, but %20 and the like.
std::string unescaped(std::string_view text) {
  constexpr size_t kDigits = 2;
  std::string bytes;
  for (size_t at = 0; at < text.size(); at++) {
    unsigned char byte = 0;
    const char* const digits = text.data() + at + 1;
    if (text[at] == '%' && at + kDigits < text.size() &&
        std::from_chars(digits, digits + kDigits, byte, 16).ptr == digits + kDigits) {
      bytes += static_cast<char>(byte);
      at += kDigits;
    } else {
      bytes += text[at];
    }
  }
  return bytes;
}

}  // namespace

std::vector<std::string> nbd_files(std::string_view uri) {
  std::vector<std::string> files;
  if (!uri.starts_with("nbds")) return files;
  uri = uri.substr(0, uri.find('#'));
  const size_t query = std::min(uri.find('?'), uri.size());
  for (std::string_view rest = uri.substr(query); !rest.empty();) {
    rest.remove_prefix(1);  // ?, & or ;
    const std::string_view word = rest.substr(0, std::min(rest.find_first_of("&;"), rest.size()));
    rest.remove_prefix(word.size());
    for (const std::string_view key : {"tls-certificates=", "tls-psk-file="}) {
      if (word.starts_with(key)) files.push_back(unescaped(word.substr(key.size())));
    }
  }
  if (!files.empty()) return files;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment
  if (const char* const home = std::getenv("HOME"); home != nullptr) {
    for (const std::string_view folder : {"/.pki/libnbd", "/.config/pki/libnbd"})
      files.push_back(std::string(home).append(folder));
  }
  return files;
}

}  // namespace acrn
