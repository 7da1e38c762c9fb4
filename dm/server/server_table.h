// The kinds of server that `--serve` can name.
#pragma once

#include <span>
#include <string_view>

#include "dm/server/server.h"

namespace acrn {

using ServerTable = std::span<const ServerRow>;

// vfio-user.
ServerTable server_table();
// Null if no row has that name.
const ServerRow* find_server(ServerTable table, std::string_view name);

}  // namespace acrn
