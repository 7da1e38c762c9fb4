// NoThreads: the process can start no thread as long as this lives.
#pragma once

#include <pthread.h>

#include <cstddef>

#include "tests/support/test.h"

namespace acrn::test {

class NoThreads {
 public:
  NoThreads() {
    EXPECT_EQ(::pthread_getattr_default_np(&before_), 0);
    set_stack(size_t{1} << 46);  // there is no room for it
  }
  ~NoThreads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  static void set_stack(size_t bytes) {
    pthread_attr_t attributes;
    EXPECT_EQ(::pthread_attr_init(&attributes), 0);
    EXPECT_EQ(::pthread_attr_setstacksize(&attributes, bytes), 0);
    EXPECT_EQ(::pthread_setattr_default_np(&attributes), 0);
    ::pthread_attr_destroy(&attributes);
  }

  pthread_attr_t before_{};
};

}  // namespace acrn::test
