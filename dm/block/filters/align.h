// FilterAlign: makes any request fit a disk that moves only whole, aligned blocks (O_DIRECT). A backend over
// a backend. Aligned requests pass through untouched; others go through bounce buffers that each channel has
// from the start, piece by piece. A write that covers part of a block reads it first and holds its range
// (range_table.h) until the block is written.
#pragma once

#include <memory>

#include "acrn/block/blockif.h"

namespace acrn {

// What `below` needs is read from its info().
std::unique_ptr<BlockBackend> make_filter_align(std::unique_ptr<BlockBackend> below);

}  // namespace acrn
