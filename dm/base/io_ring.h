// IoRing: a ring of io_uring that ends with its owner, with the few calls that its users need. Entries are filled in
// with liburing's io_uring_prep functions. One thread at a time; with IORING_SETUP_SINGLE_ISSUER always the one that
// called start().
#pragma once

#include <liburing.h>

#include <atomic>
#include <initializer_list>
#include <span>

namespace acrn {

class IoRing {
 public:
  IoRing() = default;
  ~IoRing() {
    if (started_) io_uring_queue_exit(&ring_);
  }
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  // With the first of `setups` (IORING_SETUP flags) that the kernel knows. If `operations` names any, the ring takes
  // those only, without flags, and no files, for good (IORING_REGISTER_RESTRICTIONS; not before Linux 5.10). Returns 0
  // or an errno.
  int start(unsigned entries, std::initializer_list<unsigned> setups,
            std::initializer_list<io_uring_op> operations = {});
  bool started() const { return started_; }
  // From now on start() returns EPERM: io_uring_setup() would be the end of a confined process (dm/sandbox). Any
  // thread.
  static void forbid_new() { forbidden_.store(true, std::memory_order_relaxed); }
  // Whether the kernel knows all of these operations.
  bool supports(std::initializer_list<io_uring_op> operations);

  // The kernel signals this eventfd when something completes. Returns 0 or an errno.
  int set_eventfd(int event) { return -io_uring_register_eventfd(&ring_, event); }
  int clear_eventfd() { return -io_uring_unregister_eventfd(&ring_); }
  // Makes `file` the ring's file 0, for IOSQE_FIXED_FILE. Returns 0 or an errno.
  int register_file(int file) { return -io_uring_register_files(&ring_, &file, 1); }

  // An entry to fill in, or null if all are queued.
  io_uring_sqe* next_entry() { return io_uring_get_sqe(&ring_); }
  unsigned queued() const { return io_uring_sq_ready(&ring_); }
  // Hands what is queued to the kernel, which may leave some of it queued. Returns 0 or an errno.
  int submit() { return error_of(io_uring_submit(&ring_)); }
  // The same, then waits until this many completions can be peeked at.
  int submit_and_wait(unsigned completions) { return error_of(io_uring_submit_and_wait(&ring_, completions)); }

  unsigned completed() const { return io_uring_cq_ready(&ring_); }
  // True, too, if the kernel has completions that it shows only when it is entered.
  bool has_events() const {
    return completed() != 0 ||
           (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }
  // Enters the kernel for those.
  void get_events() { io_uring_get_events(&ring_); }
  // The oldest completions, as many as `room` holds; good until release() of as many.
  std::span<io_uring_cqe*> peek(std::span<io_uring_cqe*> room) {
    return room.first(io_uring_peek_batch_cqe(&ring_, room.data(), static_cast<unsigned>(room.size())));
  }
  void release(size_t completions) { io_uring_cq_advance(&ring_, static_cast<unsigned>(completions)); }

 private:
  static int error_of(int result) { return result < 0 ? -result : 0; }
  int restrict_to(std::initializer_list<io_uring_op> operations);

  static inline std::atomic<bool> forbidden_{false};  // relaxed: it stands for itself

  io_uring ring_{};
  bool started_ = false;
};

}  // namespace acrn
