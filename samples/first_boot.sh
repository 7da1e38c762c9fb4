#!/usr/bin/env bash
# From nothing to a guest that uses its disk: builds acrn-dm, gets a Debian kernel, makes a disk image, boots a guest that
# mounts it, and reads back on this host what the guest wrote.
source "$(dirname "$0")/lib.sh"
begin first_boot

step "an initramfs and a disk image"
initrd <<'END'
echo "guest: Linux $(uname -r) is up after $(cut -d ' ' -f 1 /proc/uptime) s"
dmesg | grep -E 'virtio_pci: leaving|\[vda\]'
mount -t ext4 /dev/vda /mnt
cat /mnt/from_the_host
echo "hello from Linux $(uname -r), written to /dev/vda" >/mnt/from_the_guest
umount /mnt
END
mkdir "$vm/files"
echo "hello from the host" >"$vm/files/from_the_host"
file_system disk.img 32M -d "$vm/files"
ls -lh "$vm"

on_host --get disk.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio -s 9,virtio-blk,disk.img,writeback vm1

step "back on this host: what the guest wrote into disk.img"
look "$vm/disk.img" 'cat /from_the_guest'
