#!/bin/sh
# The kernels of samples/bare_metal in a machine of QEMU's.
# COVERS(guest): a driver without a kernel: lessons of samples/bare_metal, four mistakes, each with what the
#   device says; data that guest and host exchange by way of the disk
. "${0%/*}/lib.sh"
. "${0%/*}/../guest/bare_metal.sh"

run_kernel() {
  serve disks -s 9,virtio-blk,disk.img,writeback
  # shellcheck disable=SC2046
  machine "$1" -kernel "$ACRN_GUEST/bare_metal/$1.elf" $(plug disks 9) -device isa-debug-exit,iobase=0xf4,iosize=1
  ended "$1" 33
  served_with_warnings disks
  mv disks.err "$1.log"
}
for type in pc q35; do
  lessons interrupts 'event index'
done
mistakes
exchanges
finish
