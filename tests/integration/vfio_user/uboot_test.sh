#!/bin/sh
# U-Boot's driver of the legacy function: it finds the disk and its partitions, reads and writes.
# COVERS(guest): U-Boot: partitions, reads and writes
. "${0%/*}/lib.sh"

rom=$ACRN_GUEST/uboot/u-boot.rom
[ -e "$rom" ] || skipped "$(tail -n 1 "$ACRN_GUEST/uboot/missing")"
truncate -s 16M disk.img
printf 'label: dos\n2048,8192,c\n' | sfdisk -q disk.img
printf 'sector ten' | dd of=disk.img bs=512 seek=10 conv=notrunc 2>/dev/null
serve disks -s 9,virtio-blk,disk.img
# shellcheck disable=SC2046
machine uboot -bios "$rom" $(plug disks 9)
until_true 100 grep -q 'stop autoboot' uboot.console && echo >uboot.in
answers uboot '=>' 'virtio scan' &&
  answers uboot '=>' 'virtio part 0' &&
  answers uboot '=>' 'virtio read 0x1000000 0xa 1' &&
  answers uboot '1 blocks read: OK' 'virtio write 0x1000000 0x14 1' &&
  answers uboot '1 blocks written: OK' 'poweroff'
kill -9 "$(cat uboot.pid)"
expect_contains 'the partition' "$(console uboot)" '1	2048      	8192'
served disks
expect_equal 'what it has written' "$(dd if=disk.img bs=512 skip=20 count=1 2>/dev/null | tr -d '\0')" 'sector ten'
finish
