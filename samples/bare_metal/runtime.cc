// What a compiler calls without being asked, and the standard library is not there for.
#include <stddef.h>

extern "C" {

void* memset(void* to, int value, size_t size) {
  void* place = to;
  asm volatile("rep stosb" : "+D"(place), "+c"(size) : "a"(value) : "memory");
  return to;
}

void* memcpy(void* to, const void* from, size_t size) {
  void* place = to;
  asm volatile("rep movsb" : "+D"(place), "+S"(from), "+c"(size) : : "memory");
  return to;
}

}  // extern "C"
