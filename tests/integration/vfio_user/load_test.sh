#!/bin/sh
# fio writes at random, many requests at a time, and verifies what it reads: with one processor and with two, by INTx and by
# MSI-X.
# COVERS(guest): verified random I/O on two disks at once; INTx with one processor and with two, MSI-X with a vector
#   for each queue
. "${0%/*}/lib.sh"

truncate -s 8M first.img second.img
serve disks -s 9,virtio-blk,first.img,writeback -s 10,virtio-blk,iothread=2,mq=2,second.img -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
for run in intx1 intx2 msix2; do
  cpus=${run#????} append=''
  [ $run = msix2 ] || append=pci=nomsi
  job $run <<'END'
with_tools /dev/vdc
for disk in vda vdb; do
  check "fio on $disk" fio --name=$disk --filename=/dev/$disk --rw=randrw --bsrange=512-64k --size=4M \
    --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --fsync=32 --randrepeat=0 --output-format=terse &
done
wait
echo "@queues $(nproc) $(ls /sys/block/vdb/mq | wc -l)"
echo "@vectors $(grep -c 'virtio.*req' /proc/interrupts)"
END
  # shellcheck disable=SC2046
  boot $run $(plug disks 9) $(plug disks 10) $(plug disks 20)
done
expect_equal 'processors, queues of vdb' "$(said intx1 queues), $(said intx2 queues), $(said msix2 queues)" '1 1, 2 2, 2 2'
expect_equal 'vectors without MSI-X' "$(said intx2 vectors)" 0
expect_equal 'vectors of three disks, one of them with two queues' "$(said msix2 vectors)" 4
served disks
finish
