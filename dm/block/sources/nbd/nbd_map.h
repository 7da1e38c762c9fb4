// What an NBD server says of an export's zeroes (the NBD protocol's block status, context base:allocation).
#pragma once

#include <memory>
#include <string>

#include "acrn/block/disk_map.h"

namespace acrn {

// Over a connection of its own. Null: the server does not tell, takes one connection only, or does not answer.
std::unique_ptr<DiskMap> open_nbd_map(const std::string& uri);

}  // namespace acrn
