#include "interrupts.h"

#include "console.h"
#include "cpu.h"

namespace {

// What the processor pushes, and finds again at iret.
struct Frame {
  uint32_t next_instruction, segment, flags;
};

struct Gate {
  uint16_t offset_low = 0, selector = 0x08, type = 0x8e00, offset_high = 0;  // present, a 32-bit interrupt gate

  void operator=(void (*handler)(Frame*)) {
    // SAFETY: an address is a number here, and the processor takes it in two halves.
    const auto offset = reinterpret_cast<uintptr_t>(handler);
    offset_low = static_cast<uint16_t>(offset);
    offset_high = static_cast<uint16_t>(offset >> 16);
  }
};

constexpr uint8_t kFirstVector = 0x20;  // of line 0; the processor's own exceptions end here
Gate idt[kFirstVector + 16];

constexpr uint16_t kPrimary = 0x20, kSecondary = 0xa0;  // commands; data is one above
constexpr uint16_t kEdgeLevel = 0x4d0;                  // which lines are levels, a bit for each
constexpr uint8_t kEndOfInterrupt = 0x20;
constexpr uint8_t kCascade = 2;  // the line of the first controller on which the second one is

uint8_t the_line;
void (*the_handler)();

// For a processor that takes an interrupt between sti and hlt after all. QEMU's does, where it emulates another
// machine's KVM, about once in ten thousand times. It would sleep when what it waits for is over: it does not go to
// sleep.
void skip_hlt(Frame& frame) {
  constexpr uint8_t kHlt = 0xf4;
  // SAFETY: without paging an address is a number, and there is an instruction.
  if (*reinterpret_cast<const uint8_t*>(frame.next_instruction) == kHlt) ++frame.next_instruction;
}

__attribute__((interrupt)) void on_line(Frame* frame) {
  skip_hlt(*frame);
  the_handler();
  // Only now, when the device has lowered its line: a level that is still high would interrupt once more.
  if (the_line >= 8) out8(kSecondary, kEndOfInterrupt);
  out8(kPrimary, kEndOfInterrupt);
}
// A line that was lowered before the processor asked which one it was. A controller does not wait for the end of that,
// but the primary one does for the end of what it takes for the secondary's.
__attribute__((interrupt)) void on_spurious(Frame*) {}
__attribute__((interrupt)) void on_spurious_secondary(Frame*) { out8(kPrimary, kEndOfInterrupt); }
__attribute__((interrupt)) void on_exception(Frame*) {
  print("FAILED  exception       this kernel has a fault\n");
  power_off(false);
}

void start_controller(uint16_t port, uint8_t vector, uint8_t cascade) {
  out8(port, 0x11);         // initialise, with four words; the other three are data
  out8(port + 1, vector);   // of the first of its eight lines
  out8(port + 1, cascade);  // primary: a bit for the secondary's line; secondary: the number of that line
  out8(port + 1, 0x01);     // 8086 mode
}

}  // namespace

bool handle_line(uint8_t line, void (*handler)()) {
  if (line >= 16) return false;
  the_line = line;
  the_handler = handler;
  for (unsigned vector = 0; vector < kFirstVector; ++vector) idt[vector] = on_exception;
  idt[kFirstVector + 7] = on_spurious;
  idt[kFirstVector + 15] = on_spurious_secondary;
  idt[kFirstVector + line] = on_line;
  const struct [[gnu::packed]] {
    uint16_t limit;
    const Gate* base;
  } pointer{sizeof idt - 1, idt};
  asm volatile("lidt %0" : : "m"(pointer));

  start_controller(kPrimary, kFirstVector, 1 << kCascade);
  start_controller(kSecondary, kFirstVector + 8, kCascade);
  // A PCI line is a level (PCI 3.0 2.2.6).
  const auto level = static_cast<uint16_t>(kEdgeLevel + line / 8);
  out8(level, static_cast<uint8_t>(in8(level) | 1 << line % 8));
  const auto masked = static_cast<uint16_t>(~(1 << line | 1 << kCascade));
  out8(kPrimary + 1, static_cast<uint8_t>(masked));
  out8(kSecondary + 1, static_cast<uint8_t>(masked >> 8));
  return true;
}
