#!/bin/sh
# fio writes at random, many requests at a time, and verifies what it reads.
# COVERS(guest): verified random I/O
. "${0%/*}/lib.sh"

disks='' slot=9
for mode in writethru writeback writethru,nocache writeback,nocache; do
  truncate -s 8M "disk$slot.img"
  disks="$disks -s $slot,virtio-blk,disk$slot.img,$mode"
  slot=$((slot + 1))
done
job fio <<'END'
with_tools /dev/vde
for disk in vda vdb vdc vdd; do
  check "fio on $disk" fio --name=$disk --filename=/dev/$disk --rw=randrw --bsrange=512-32k --size=4M --io_size=3M \
    --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --fsync=32 --randrepeat=0 --output-format=terse
done
END
# shellcheck disable=SC2086
boot fio $disks -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
finish
