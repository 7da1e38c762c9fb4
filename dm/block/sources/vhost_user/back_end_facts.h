// What a vhost-user-blk back end says of itself: its features and configuration space, checked.
#pragma once

#include <cstdint>

#include "acrn/base/result.h"
#include "dm/vhost_user/back_end_socket.h"

namespace acrn {

// The disk. Sizes in bytes.
struct BackEndFacts {
  uint64_t features = 0;  // of virtio, those that we accept
  uint64_t size = 0;
  bool read_only = false;
  bool can_flush = false;  // else each write is stable when it is done
  bool can_discard = false, can_write_zeroes = false, can_unmap_zeroes = false;
  uint32_t block = 512;  // what requests are multiples of; a power of two, as the next two are
  uint32_t physical_block = 512;
  uint32_t discard_granularity = 512;
  uint64_t most_data = 0, most_discard = 0, most_zeroes = 0;  // of a request of each kind
  unsigned segments = 1;                                      // of a request's data
  unsigned queues = 1;
};

// Asks for them. Errors, without the disk's name: kIo: the back end does not answer; kNoInput: what it says is none of
// a disk that can be served.
Result<BackEndFacts> ask_for_facts(BackEndSocket& socket);
// The size alone, which may change.
Result<uint64_t> ask_for_size(BackEndSocket& socket);

}  // namespace acrn
