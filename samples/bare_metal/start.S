// Where the machine begins to run this kernel. Both protocols below enter it in 32-bit protected mode with paging off
// and flat segments, so that an address in C++ is an address in RAM, and the one that a device has to be given.

// Multiboot 1: magic, flags, checksum; the sum of the three is 0. What is not asked for in flags is not needed.
.section .multiboot, "a"
.balign 4
multiboot:
  .long 0x1badb002, 0, -0x1badb002

// PVH: an ELF note of type 18, XEN_ELFNOTE_PHYS32_ENTRY, that holds the address of the entry.
.section .note.pvh, "a", @note
.balign 4
  .long 4, 4, 18
  .asciz "Xen"
  .long start

.section .text.start, "ax"
.globl start
start:
  cli
  cld
  mov $stack_end, %esp
  // The loader's segments are flat, but its table of them may be gone: this one stays. The IDT names its code segment.
  lgdt gdt_pointer
  ljmp $0x08, $1f
1:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %ebp, %ebp        // where a debugger's backtrace ends
  call kernel_main      // does not come back

.section .rodata
.balign 8
gdt:
  .quad 0
  .quad 0x00cf9a000000ffff  // 0x08: code, 0 to 4 GiB
  .quad 0x00cf92000000ffff  // 0x10: data, 0 to 4 GiB
gdt_pointer:
  .word gdt_pointer - gdt - 1
  .long gdt

.section .bss
.balign 16
  .skip 16384
stack_end:

.section .note.GNU-stack, "", @progbits
