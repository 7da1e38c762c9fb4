// The serial port COM1, and the machine's end.
#pragma once

#include <stdint.h>

struct Hex {
  uint32_t value;
};

void write(const char* text);
void write(uint32_t number);
void write(Hex number);

template <typename... Parts>
void print(Parts... parts) {
  (write(parts), ...);
}

// Turns the machine off. The VMM's exit status is 33 if all is well, 35 if not.
[[noreturn]] void power_off(bool well);
