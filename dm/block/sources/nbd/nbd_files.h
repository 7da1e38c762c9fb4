// What libnbd reads of this host each time that it connects: keys and certificates.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace acrn {

// Files and folders, of an URI with TLS; beyond the host's own certificates.
std::vector<std::string> nbd_files(std::string_view uri);

}  // namespace acrn
