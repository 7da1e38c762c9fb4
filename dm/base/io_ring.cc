#include "dm/base/io_ring.h"

#include <algorithm>
#include <cerrno>

namespace acrn {

int IoRing::start(unsigned entries, std::initializer_list<unsigned> setups) {
  for (const unsigned flags : setups) {
    const int error = -io_uring_queue_init(entries, &ring_, flags);
    started_ = error == 0;
    if (error != EINVAL) return error;
  }
  return EINVAL;
}

bool IoRing::supports(std::initializer_list<io_uring_op> operations) {
  io_uring_probe* const probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return false;
  const bool all = std::all_of(operations.begin(), operations.end(),
                               [&](io_uring_op operation) { return io_uring_opcode_supported(probe, operation) != 0; });
  io_uring_free_probe(probe);
  return all;
}

}  // namespace acrn
