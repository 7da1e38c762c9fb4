#!/bin/sh
# Drivers that are not Linux's. SeaBIOS boots from the disk: the sector that it loads reads the next one, writes the one after
# that, and prints what it has read. OVMF looks for partitions.
# COVERS(guest): SeaBIOS boots from the disk, reads and writes by INT 13h; OVMF reads it
. "${0%/*}/lib.sh"

command -v as >/dev/null || skipped 'as (binutils)'
cat >sector.s <<'END'
.code16
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %es
  cld
  mov $packet + 0x7c00, %si
  mov $0x42, %ah        # read; the BIOS has left the drive in DL
  int $0x13
  jc end
  movw $2, sector + 0x7c00
  mov $0x4300, %ax      # write
  int $0x13
  jc end
  mov $0x3f8, %dx
  mov $0x7e00, %si
next:
  lodsb
  out %al, %dx
  test %al, %al
  jnz next
end:
  mov $0xf4, %dx
  out %al, %dx
  hlt
packet: .byte 16, 0
  .word 1, 0x7e00, 0
sector: .quad 1
.org 510
  .word 0xaa55
END
expect 'the sector' as --32 -o sector.o sector.s
expect 'the sector' objcopy -O binary -j .text sector.o sector
for type in pc q35; do
  { cat sector && echo "booted on $type"; } >disk.img
  truncate -s 1M disk.img
  serve disks -s 9,virtio-blk,disk.img
  # shellcheck disable=SC2046
  machine $type $(plug disks 9) -device isa-debug-exit,iobase=0xf4,iosize=1
  ended $type 1
  expect_contains 'the serial port' "$(console $type)" "booted on $type"
  served disks
  expect_equal 'the sector that was written' "$(dd if=disk.img bs=512 skip=2 count=1 2>/dev/null | tr -d '\0')" "booted on $type"
done

serve disks -s 9,virtio-blk,disk.img
job uefi <<'END'
check 'UEFI' test -d /sys/firmware/efi
echo @up
read -r line
fill /dev/vda 256
END
# shellcheck disable=SC2046
start uefi -bios OVMF.fd $(plug disks 9)
if await uefi @up; then
  ok 'stats' disks.sock '{"command": "stats", "arguments": "9"}'
  # Linux itself reads once.
  expect_above 'reads of OVMF' "$(echo "$reply" | sed -n 's/.*"requests":{"read":\([0-9]*\).*/\1/p')" 3
  echo >uefi.in
fi
ended uefi
done_well uefi
served disks
finish
