#!/usr/bin/env bash
# One image, two VMs at the same time: range=<start>/<size> gives each of them half of its sectors as its /dev/vda.
# The locks are on the ranges, so the VMs do not disturb each other; ranges that overlap would be refused.
source "$(dirname "$0")/lib.sh"
begin range_halves

step "an image of 131072 sectors with a file system in each half, an initramfs with the guests' script"
truncate -s 64M "$vm/disk.img"
mkfs.ext4 -q "$vm/disk.img" 32M
mkfs.ext4 -q -E offset=$((65536 * 512)) "$vm/disk.img" 32M
initrd <<'END'
name=$(sed 's/.*name=//' /proc/cmdline)
echo "$name: /dev/vda has $(cat /sys/block/vda/size) sectors"
mount /dev/vda /mnt
for i in 1 2 3 4 5 6 7 8; do
  echo "$name was here, $i" >>/mnt/log
  sync
done
umount /mnt
END
cat >"$vm/two_vms" <<'END'
acrn-dm -m 128M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet name=left" -s 0:0,hostbridge -s 1:0,lpc \
  -l com1,left.log -s 9,virtio-blk,disk.img,writeback,range=0/65536 left &
acrn-dm -m 128M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet name=right" -s 0:0,hostbridge -s 1:0,lpc \
  -l com1,right.log -s 9,virtio-blk,disk.img,writeback,range=65536/65536 right || exit
wait $!
END
cat "$vm/two_vms"
on_host --get disk.img --get left.log --get right.log -- sh two_vms

step "back on this host: what the guests said, then the log of each half"
cat "$vm/left.log" "$vm/right.log"
look "$vm/disk.img" 'cat /log'
look "$vm/disk.img?offset=$((65536 * 512))" 'cat /log'
