#!/bin/sh
# The guest restarts, with requests in flight; the firmware and the next kernel find the same disk.
# COVERS(guest): restarts under load
. "${0%/*}/lib.sh"

ext4 disk.img 32M
job reboot <<'END'
check 'mount' mount /dev/vda /mnt
count=$(cat /mnt/count 2>/dev/null || echo 0)
echo "@boot $count"
[ "$count" = 0 ] || equal 'a file that was synced' "$(sum /mnt/synced)" "$(cat /mnt/sum)"
echo $((count + 1)) >/mnt/count
dd if=/dev/urandom of=/mnt/synced bs=64k count=8 2>/dev/null
sum /mnt/synced >/mnt/sum
sync
if [ "$count" -lt 2 ]; then
  while :; do dd if=/dev/zero of=/mnt/load bs=64k count=64 2>/dev/null; done &
  while :; do cat /dev/vda >/dev/null; echo 3 >/proc/sys/vm/drop_caches; done &
  sleep 0.5
  reboot -f -n
  sleep 20
  fail "no reboot"
fi
umount /mnt
END
serve disks -s 9,virtio-blk,disk.img,writeback
# shellcheck disable=SC2046
boot reboot $(plug disks 9)
served disks
expect_equal 'starts' "$(console reboot | grep -c '^@boot')" 3
expect_clean disk.img
finish
