// Interrupts by the two interrupt controllers (8259A) that every PC has.
#pragma once

#include <stdint.h>

// `handler` is called for that line of 0..15 whenever interrupts are on, which they are in sleep_until_interrupt()
// only. It has to make the device lower the line. False: the controllers have no such line.
bool handle_line(uint8_t line, void (*handler)());
