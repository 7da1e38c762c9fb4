#include "dm/server/server_table.h"

#include <algorithm>

#include "dm/server/vfio_user/server.h"

namespace acrn {
namespace {

constexpr ServerRow kServers[] = {
    {.name = "vfio-user",
     .create = vfio_user::VfioUserServer::create,
     .check = vfio_user::VfioUserServer::check,
     .queue_loop = vfio_user::kQueueLoop,
     .help = "each disk on a UNIX socket, for a VMM that speaks vfio-user"},
};

}  // namespace

ServerTable server_table() { return kServers; }

const ServerRow* find_server(ServerTable table, std::string_view name) {
  const auto row = std::find_if(table.begin(), table.end(), [&](const ServerRow& each) { return each.name == name; });
  return row == table.end() ? nullptr : &*row;
}

}  // namespace acrn
