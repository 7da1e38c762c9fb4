// Preloaded into acrn-dm: a disk that stalls in every flush, for longer than anybody waits.
#include <unistd.h>

extern "C" int fdatasync(int) noexcept(noexcept(::fdatasync(0))) {
  sleep(1000);
  return 0;
}
