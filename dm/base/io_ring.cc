#include "dm/base/io_ring.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace acrn {

int IoRing::start(unsigned entries, std::initializer_list<unsigned> setups,
                  std::initializer_list<io_uring_op> operations) {
  if (forbidden_.load(std::memory_order_relaxed)) return EPERM;
  // A ring can be restricted before it is enabled.
  for (const unsigned disabled : {operations.size() != 0 ? unsigned{IORING_SETUP_R_DISABLED} : 0u, 0u}) {
    for (const unsigned flags : setups) {
      const int error = -io_uring_queue_init(entries, &ring_, flags | disabled);
      started_ = error == 0;
      if (started_ && disabled != 0) return restrict_to(operations);
      if (error != EINVAL) return error;
    }
  }
  return EINVAL;
}

int IoRing::restrict_to(std::initializer_list<io_uring_op> operations) {
  std::vector<io_uring_restriction> allowed;
  const auto allow = [&](uint16_t what, uint8_t which) {
    io_uring_restriction& added = allowed.emplace_back();
    added.opcode = what;
    added.register_op = which;  // or sqe_op, which is the same byte
  };
  for (const io_uring_op operation : operations) allow(IORING_RESTRICTION_SQE_OP, static_cast<uint8_t>(operation));
  for (const uint8_t call : {IORING_REGISTER_PROBE, IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD}) {
    allow(IORING_RESTRICTION_REGISTER_OP, call);
  }
  // Liburing has functions for both, which some of its shared libraries do not show.
  const auto call = [this](unsigned what, void* argument, size_t count) {
    return ::syscall(SYS_io_uring_register, ring_.ring_fd, what, argument, static_cast<unsigned>(count)) == 0 ? 0
                                                                                                              : errno;
  };
  const int error = call(IORING_REGISTER_RESTRICTIONS, allowed.data(), allowed.size());
  return error != 0 ? error : call(IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
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
