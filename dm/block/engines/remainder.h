// Remainder: what is left of a request's vectors after short transfers, without changing or allocating any. Owned by
// whoever carries the request out; the vectors outlive it.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <span>

namespace acrn {

inline constexpr unsigned kMaxAgain = 1000;  // a file that answers EAGAIN this often is not going to serve us

class Remainder {
 public:
  explicit Remainder(std::span<const iovec> iov = {}) : iov_(iov) {}

  // What one call can be given of it. Good until the next call of a member.
  std::span<const iovec> vectors() {
    while (!iov_.empty() && skip_ == iov_.front().iov_len) next();
    if (skip_ == 0) return iov_.first(std::min<size_t>(iov_.size(), IOV_MAX));
    const size_t count = std::min(iov_.size(), copy_.size());
    std::copy_n(iov_.begin(), count, copy_.begin());
    copy_[0].iov_base = static_cast<std::byte*>(copy_[0].iov_base) + skip_;
    copy_[0].iov_len -= skip_;
    return std::span(copy_).first(count);
  }
  void advance(size_t bytes) {
    while (bytes > 0) {
      const size_t step = std::min(bytes, iov_.front().iov_len - skip_);
      bytes -= step;
      skip_ += step;
      if (skip_ == iov_.front().iov_len) next();
    }
  }

 private:
  void next() {
    iov_ = iov_.subspan(1);
    skip_ = 0;
  }

  std::span<const iovec> iov_;
  size_t skip_ = 0;             // bytes of iov_.front() that are done
  std::array<iovec, 64> copy_;  // used after a short transfer only
};

}  // namespace acrn
