#include "dm/server/server_table.h"

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

}  // namespace acrn
