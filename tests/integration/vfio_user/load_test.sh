#!/bin/sh
# fio writes at random, many requests at a time, and verifies what it reads: with one processor and with two.
. "${0%/*}/lib.sh"

truncate -s 8M first.img second.img
serve disks -s 9,virtio-blk,first.img,writeback -s 10,virtio-blk,iothread=2,mq=2,second.img -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
for cpus in 1 2; do
  [ $cpus = 1 ] && append=pci=nomsi || append=''
  job cpus$cpus <<'END'
with_tools /dev/vdc
for disk in vda vdb; do
  check "fio on $disk" fio --name=$disk --filename=/dev/$disk --rw=randrw --bsrange=512-64k --size=4M \
    --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --fsync=32 --randrepeat=0 --output-format=terse &
done
wait
equal 'queues of vdb' "$(ls /sys/block/vdb/mq | wc -l)" "$(nproc)"
echo "@vectors $(grep -c 'virtio.*req' /proc/interrupts)"
END
  # shellcheck disable=SC2046
  boot cpus$cpus $(plug disks 9) $(plug disks 10) $(plug disks 20)
done
expect_equal 'vectors without MSI' "$(said cpus1 vectors)" 0
expect_equal 'vectors of three disks, one with two queues' "$(said cpus2 vectors)" 4
served disks
finish
