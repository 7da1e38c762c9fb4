#!/bin/sh
# Warm restarts in one process, each by another way and with requests in flight, and a power-off.
# COVERS(guest): restart in place under load
# COVERS(crash): reboot under load
. "${0%/*}/lib.sh"

ext4 disk.img 48M
truncate -s 2M raw.img
# A triple fault is a power-off with ACRN, see acrn_test.sh.
types='acpi kbd triple'
[ "$hypervisor" = kvm ] || types='acpi kbd'
job reboot "types='$types'" <<'END'
check 'mount' mount /dev/vda /mnt
count=$(cat /mnt/count 2>/dev/null || echo 0)
echo "@boot $count $(cat /sys/kernel/reboot/type)"
[ "$count" = 0 ] || equal 'a file that was synced' "$(sum /mnt/synced)" "$(cat /mnt/sum)"
echo $((count + 1)) >/mnt/count
dd if=/dev/urandom of=/mnt/synced bs=64k count=8 2>/dev/null
sum /mnt/synced >/mnt/sum
sync
set -- $types
shift "$count"
type=${1:-}
if [ -n "$type" ]; then
  echo $type >/sys/kernel/reboot/type
  while :; do dd if=/dev/zero of=/mnt/load bs=64k count=64 2>/dev/null; done &
  while :; do dd if=/dev/urandom of=/dev/vdb bs=64k conv=notrunc 2>/dev/null; done &
  while :; do cat /dev/vdb >/dev/null; echo 3 >/proc/sys/vm/drop_caches; done &
  sleep 0.7
  reboot -f -n
  sleep 20
  fail "no reboot by $type"
fi
umount /mnt
END
limit=100
boot reboot --logger_setting console,level=3 -s 9,virtio-blk,disk.img,writeback -s 10,virtio-blk,raw.img
expect_equal 'starts' "$(console reboot | grep -c '^@boot')" $(($(echo "$types" | wc -w) + 1))
expect_clean disk.img
finish
