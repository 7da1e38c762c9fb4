// The processor: its I/O ports, its time stamp counter, and how it waits.
#pragma once

#include <stdint.h>

inline void out8(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
inline void out16(uint16_t port, uint16_t value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
inline void out32(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
inline uint8_t in8(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint16_t in16(uint16_t port) {
  uint16_t value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint32_t in32(uint16_t port) {
  uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

inline uint64_t cycles() {
  uint64_t value;
  asm volatile("rdtsc" : "=A"(value));
  return value;
}

inline void pause() { asm volatile("pause" : : : "memory"); }
// Interrupts are off but in here. The one that comes between a look at the ring and hlt is not lost: after sti the
// processor takes none before the next instruction is begun, and that is hlt.
inline void sleep_until_interrupt() { asm volatile("sti; hlt; cli" : : : "memory"); }

// 64 bits by 32, for a quotient of 32: what the compiler would call a library for.
inline uint32_t divide(uint64_t dividend, uint32_t divisor) {
  uint32_t quotient, remainder;
  asm("divl %4"
      : "=a"(quotient), "=d"(remainder)
      : "a"(uint32_t(dividend)), "d"(uint32_t(dividend >> 32)), "r"(divisor));
  return quotient;
}
