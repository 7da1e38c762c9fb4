#include "console.h"

#include "cpu.h"

namespace {

constexpr uint16_t kData = 0x3f8, kLineStatus = 0x3fd;
constexpr uint8_t kTransmitterEmpty = 0x20;

void write_char(char c) {
  while ((in8(kLineStatus) & kTransmitterEmpty) == 0) pause();
  out8(kData, static_cast<uint8_t>(c));
}

void write_digits(uint32_t number, uint32_t base) {
  if (number >= base) write_digits(number / base, base);
  write_char("0123456789abcdef"[number % base]);
}

}  // namespace

void write(const char* text) {
  for (; *text != 0; ++text) {
    if (*text == '\n') write_char('\r');
    write_char(*text);
  }
}
void write(uint32_t number) { write_digits(number, 10); }
void write(Hex number) {
  write("0x");
  write_digits(number.value, 16);
}

void power_off(bool well) {
  // acrn-dm --debugexit and QEMU's isa-debug-exit: a byte v ends the VMM with status (v << 1) | 1.
  out8(0xf4, well ? 0x10 : 0x11);
  // Still here, so there is no such port. ACPI's SLP_EN with SLP_TYP 5, where acrn-dm has PM1a_CNT.
  out16(0x404, 1 << 13 | 5 << 10);
  for (;;) asm volatile("cli; hlt");
}
