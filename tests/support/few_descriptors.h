// FewDescriptors: the process can open only so many more as long as this lives.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/test.h"

namespace acrn::test {

class FewDescriptors {
 public:
  explicit FewDescriptors(unsigned more) {
    const int next = ::dup(0);  // the lowest that is free
    EXPECT(next >= 0 && ::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    ::close(next);
    const rlimit few{static_cast<rlim_t>(next) + more, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace acrn::test
