// The text of an errno, for messages.
#pragma once

#include <string>
#include <system_error>

namespace acrn {

inline std::string errno_text(int error) { return std::generic_category().message(error); }

}  // namespace acrn
