// The kinds of server that `--serve` can name.
#pragma once

#include <span>

#include "dm/server/server.h"

namespace acrn {

using ServerTable = std::span<const ServerRow>;

// vfio-user, vhost-user, nbd.
ServerTable server_table();

}  // namespace acrn
