// A file with a key, which another program or library is going to read: it would wait for a FIFO, and read a device
// until the memory is used up.
#pragma once

#include <string>

namespace acrn {

// Why it cannot be read as one; empty: it can.
std::string why_no_key_file(const std::string& path);

}  // namespace acrn
