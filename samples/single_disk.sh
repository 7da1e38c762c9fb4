#!/usr/bin/env bash
# One disk: an image with a file system in it is /dev/vda of the guest. From a terminal you get a shell in the guest,
# with the disk on /mnt ("exit" powers the guest off, Ctrl-a x ends it at once); otherwise the guest runs a small job.
source "$(dirname "$0")/lib.sh"
begin single_disk

step "a disk with one file, an initramfs with the guest's script"
mkdir "$vm/files"
echo "hello from the host" >"$vm/files/from_the_host"
file_system disk.img 32M -d "$vm/files"
# shellcheck disable=SC2016  # for the guest's shell
job='cat from_the_host; echo "hello from Linux $(uname -r) on /dev/vda" >from_the_guest'
[ ! -t 0 ] || job='ls -l; setsid cttyhack sh'
initrd <<END
mount /dev/vda /mnt
cd /mnt
$job
cd /
umount /mnt
END

on_host --get disk.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio -s 9,virtio-blk,disk.img,writeback vm1

step "back on this host: the disk's files, and what the guest wrote"
look "$vm/disk.img" 'ls -l /'
look "$vm/disk.img" 'cat /from_the_guest'
