// A server with a client of its own: a guest in the process, which writes what it finds to the file at the path. It
// shows what a server needs: one folder and one row.
#pragma once

#include <memory>
#include <string>

#include "dm/server/server.h"

namespace acrn::toy_server {

Result<std::unique_ptr<PciServer>> create(const std::string& slot);
Result<void> check(const std::string& path);

inline constexpr ServerRow kRow{.name = "toy", .create = create, .check = check};

}  // namespace acrn::toy_server
