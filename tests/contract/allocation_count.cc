#include "tests/contract/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<unsigned long> allocations{0};
}  // namespace

// In a file of their own, so that no caller sees what they are made of.
void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);  // pairs with nothing: a count
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

unsigned long acrn::test::allocation_count() { return allocations.load(std::memory_order_relaxed); }
