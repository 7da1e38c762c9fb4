#!/usr/bin/env bash
# Two disks: Linux names them in the order of their slots, so slot 9 is /dev/vda and slot 10 is /dev/vdb. The guest
# copies one to the other.
source "$(dirname "$0")/lib.sh"
begin two_disks

step "a disk of random bytes, an empty one, an initramfs with the guest's script"
head -c 16M /dev/urandom >"$vm/from.img"
truncate -s 16M "$vm/to.img"
initrd <<'END'
for disk in vda vdb; do
  echo "$disk is $(basename "$(realpath /sys/block/$disk/device/..)"), $(cat /sys/block/$disk/serial)"
done
dd if=/dev/vda of=/dev/vdb bs=1M conv=fsync
END

on_host --get to.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio \
  -s 9,virtio-blk,from.img,ro,serial=FROM -s 10,virtio-blk,to.img,writeback,serial=TO vm1

step "back on this host"
cmp "$vm/from.img" "$vm/to.img"
echo "cmp: from.img and to.img are equal"
