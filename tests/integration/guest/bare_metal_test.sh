#!/bin/sh
# The kernels of samples/bare_metal, which are ELF files.
# COVERS(guest): a driver without a kernel: lessons of samples/bare_metal, four mistakes, each with what the
#   device says; data that guest and host exchange by way of the disk
. "${0%/*}/lib.sh"
. "${0%/*}/bare_metal.sh"

run_kernel() {
  kernel=$ACRN_GUEST/bare_metal/$1.elf
  start "$1" --debugexit -s 9,virtio-blk,disk.img,writeback
  wait "$pid"
  expect_equal "$1: exit status" $? 33
  rm "$1.pid"
  mv "$1.err" "$1.log"
}
if [ "$hypervisor" = kvm ]; then
  lessons interrupts 'event index'
else # its lines are none of the PIC's
  lessons
fi
mistakes
exchanges
finish
