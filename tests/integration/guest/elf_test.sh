#!/bin/sh
# A kernel that is an ELF file, entered as its PVH note says: it finds its ramdisk, its command line, its RAM, ACPI's tables
# and its disk; it starts anew after a reboot.
# COVERS(guest): vmlinux by PVH: RAM, command line, ramdisk, ACPI, two CPUs, reboot
. "${0%/*}/lib.sh"

kernel=$ACRN_GUEST/vmlinux
truncate -s 16M disk.img
job elf <<'END'
contains 'the command line' "$(cat /proc/cmdline)" 'console=ttyS0 quiet word="two words"'
equal 'CPUs' "$(grep -c ^processor /proc/cpuinfo)" 2
contains 'ACPI' "$(dmesg)" 'ACPI: RSDP 0x00000000000F2400'
contains 'interrupts' "$(grep virtio /proc/interrupts)" PCI-MSI
[ "$(awk '/MemTotal/ { print $2 }' /proc/meminfo)" -gt 150000 ] || fail "memory: $(head -n 1 /proc/meminfo)"
if [ "$(head -c 5 /dev/vda)" != again ]; then
  printf again | dd of=/dev/vda conv=notrunc 2>/dev/null
  sync
  echo @reboots
  reboot -f
  sleep 10
fi
fill /dev/vda 1024
END
append='word="two words"'
boot elf --cpus 2 -s 9,virtio-blk,disk.img,writeback
expect_equal 'reboots' "$(console elf | grep -c @reboots)" 1
finish
