// Channels that are made once and lent, for a process that can make none later: a channel of io_uring needs a ring, and
// a confined process gets no new ones (IoRing::forbid_new()).
#pragma once

#include <memory>

#include "acrn/block/blockif.h"

namespace acrn {

// `count` channels of `below` on `loop`, or as many as can be had, each for `depth` requests; more are made when they
// are asked for. open_channel() is called on the loop then, and for no other; what it returns ends there too. Not on
// the loop, which outlives it.
std::unique_ptr<BlockBackend> make_kept_channels(std::unique_ptr<BlockBackend> below, EventLoop& loop, unsigned count,
                                                 unsigned depth);

}  // namespace acrn
