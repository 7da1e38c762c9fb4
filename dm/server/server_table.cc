#include "dm/server/server_table.h"

#include "dm/server/nbd/server.h"
#include "dm/server/vfio_user/server.h"
#include "dm/server/vhost_user/server.h"

namespace acrn {
namespace {

constexpr ServerRow kServers[] = {
    {.name = "vfio-user",
     .create = vfio_user::VfioUserServer::create,
     .check = ClientSocket::check,
     .queue_loop = vfio_user::kQueueLoop,
     .help = "each disk on a UNIX socket, for a VMM that speaks vfio-user"},
    {.name = "vhost-user",
     .create_virtio = vhost_user::VhostUserServer::create,
     .check = ClientSocket::check,
     .usual_queue_size = vhost_user::kUsualQueueSize,
     .least_queue_size = vhost_user::kLeastQueueSize,
     .queue_loop = vhost_user::kQueueLoop,
     .help = "each disk on a UNIX socket, for a VMM that speaks vhost-user-blk"},
    {.name = "nbd",
     .create_block = nbd::NbdServer::create,
     .check = nbd::NbdServer::check,
     .queue_loop = nbd::kLoop,
     .help = "each disk on a UNIX socket, for NBD clients"},
};

}  // namespace

ServerTable server_table() { return kServers; }

}  // namespace acrn
