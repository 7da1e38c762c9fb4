// A backend over a backend that sees the data of requests where a guest has it: in RAM that the one below was told of,
// in pieces of odd sizes. For one loop at a time, and 64 requests of up to 4 MiB; what is larger goes by.
#pragma once

#include <memory>

#include "acrn/block/blockif.h"

namespace acrn::test {

std::unique_ptr<BlockBackend> in_guest_ram(std::unique_ptr<BlockBackend> below);

}  // namespace acrn::test
