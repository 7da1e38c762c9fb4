#!/bin/sh
# A Debian as mmdebstrap and GRUB make it, with UEFI in QEMU: over vfio-user and over vhost-user, from a qcow2 image as well.
# Two disks; root logs in, writes, and switches off.
# COVERS(guest): Debian's own GRUB, kernel and systemd from one GPT disk: QEMU with OVMF over vfio-user and vhost-user, qcow2
. "${0%/*}/lib.sh"

[ -e "$ACRN_GUEST/debian.img" ] || skipped "$(tail -n 1 "$ACRN_GUEST/debian.missing")"
cp --sparse=always "$ACRN_GUEST/debian.img" raw.img
command -v qemu-img >/dev/null || skipped 'qemu-img (qemu-utils)'
expect 'an image' qemu-img convert -f raw -O qcow2 raw.img disk.qcow2
truncate -s 16M data.img
limit=150 memory=512M
# session <vm>: from the login to the end
session() {
  heard=0
  answers "$1" 'debian login:' root &&
    answers "$1" 'root@debian:' "lsblk -dno NAME,SIZE | xargs; yes $1 | head -c 1M >/dev/vdb; sync; poweroff"
  ended "$1"
  expect_contains "$1: its disks" "$(console "$1")" 'vdb 16M'
  expect_equal "$1: what it has written" "$(head -c 1048576 data.img | sha256sum)" "$(yes "$1" | head -c 1048576 | sha256sum)"
}

serve disks -s 9,virtio-blk,raw.img,writeback -s 10,virtio-blk,data.img
# shellcheck disable=SC2046
machine a -bios OVMF.fd $(plug disks 9) $(plug disks 10)
session a
served disks

setpriv --pdeathsig KILL acrn-dm --serve vhost-user=. -s 9,virtio-blk,disk.qcow2,format=qcow2,writeback \
  -s 10,virtio-blk,data.img back 2>back.err &
back=$!
until_true 100 test -S back.10.0.sock || fail "no back end: $(cat back.err)"
machine b -bios OVMF.fd -chardev socket,id=c9,path=back.9.0.sock -device vhost-user-blk-pci,chardev=c9,bootindex=1 \
  -chardev socket,id=c10,path=back.10.0.sock -device vhost-user-blk-pci,chardev=c10
session b
kill $back
wait $back
expect_equal 'the back end: exit status' $? 0
finish
