#!/bin/sh
# A Debian as mmdebstrap and GRUB make it, booted by firmware: a menu of its own after update-grub, a reboot, two disks, and a
# power-off.
# COVERS(guest): firmware and Debian's own GRUB, kernel and systemd: update-grub, reboot, power-off
. "${0%/*}/lib.sh"

truncate -s 16M data.img
firmware=$ACRN_GUEST/firmware/CLOUDHV.fd memory=512M limit=300
# answers <text> <times> <line to type>: until Debian has printed it so often; then what is typed
answers() {
  tries=0
  until [ "$(grep -cF "$1" debian.console)" -ge "$2" ]; do
    tries=$((tries + 1))
    if ! running debian || [ $tries -gt 2800 ]; then
      fail "Debian does not say '$1' (time $2)"
      return 1
    fi
    usleep 100000
  done
  echo "$3" >debian.in
}
start debian -s 9,virtio-blk,"$ACRN_GUEST/debian.img",writeback -s 10,virtio-blk,data.img
answers 'debian login:' 1 root &&
  answers 'root@debian:' 1 'yes first | head -c 1M >/dev/vdb; sync; update-grub && reboot' &&
  answers 'debian login:' 2 root &&
  answers 'root@debian:' 2 'head -c 6 /dev/vdb; lsblk -dno NAME,SIZE | xargs; poweroff'
ended debian
said=$(console debian)
expect_contains 'update-grub' "$said" 'Found linux image: /boot/vmlinuz-'
expect_contains 'its disks' "$said" 'vdb 16M'
expect_equal 'what it has written' "$(head -c 1048576 data.img | sha256sum)" "$(yes first | head -c 1048576 | sha256sum)"
finish
