// IoVecCursor: a place in a list of I/O vectors. It moves forward over bytes that have been transferred or copied, and
// changes neither the vectors nor what they point at. One thread; the vectors outlive it.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <span>
#include <utility>

namespace acrn {

class IoVecCursor {
 public:
  explicit IoVecCursor(std::span<const iovec> iov = {}) : iov_(iov) {}

  // Vectors that are not used up. The first may be used in part.
  size_t vectors_left() const { return iov_.size(); }
  // What is left of the first vector; there is one.
  iovec front() const { return {static_cast<std::byte*>(iov_.front().iov_base) + used_, iov_.front().iov_len - used_}; }

  // Moves over the next `bytes`, or over what there is if that is less, and calls piece(std::byte* memory, size_t
  // bytes) for each contiguous part. Returns the bytes that it moved over.
  template <typename Piece>
  size_t for_each_piece(size_t bytes, Piece piece) {
    size_t done = 0;
    while (done < bytes && !iov_.empty()) {
      const iovec rest = front();
      const size_t step = std::min(bytes - done, rest.iov_len);
      if (step > 0) piece(static_cast<std::byte*>(rest.iov_base), step);
      done += step;
      used_ += step;
      if (step == rest.iov_len) next();
    }
    return done;
  }
  void advance(size_t bytes) {
    for_each_piece(bytes, [](std::byte*, size_t) {});
  }

  // The next bytes, copied out of the vectors' memory to `to`, or from `from` into it.
  void copy_to(std::byte* to, size_t bytes) {
    for_each_piece(bytes, [&](const std::byte* piece, size_t size) { to = std::copy_n(piece, size, to); });
  }
  void copy_from(const std::byte* from, size_t bytes) {
    for_each_piece(bytes,
                   [&](std::byte* piece, size_t size) { std::copy_n(std::exchange(from, from + size), size, piece); });
  }

  // What is left, as vectors for one system call; if that is not all of it, the call makes a short transfer. The
  // vectors themselves, or, if the first is used in part, copies in `scratch`, which holds at least one.
  std::span<const iovec> for_system_call(std::span<iovec> scratch) {
    while (!iov_.empty() && used_ == iov_.front().iov_len) next();
    if (used_ == 0) return iov_.first(std::min<size_t>(iov_.size(), IOV_MAX));
    const size_t count = std::min(iov_.size(), scratch.size());
    std::copy_n(iov_.begin(), count, scratch.begin());
    scratch[0] = front();
    return scratch.first(count);
  }

 private:
  void next() {
    iov_ = iov_.subspan(1);
    used_ = 0;
  }

  std::span<const iovec> iov_;
  size_t used_ = 0;  // bytes of iov_.front()
};

}  // namespace acrn
