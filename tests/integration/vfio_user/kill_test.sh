#!/bin/sh
# QEMU is killed with requests in flight: the server stays, and the next QEMU finds all that was synced.
# COVERS(guest): QEMU is killed under load: the server stays, the next QEMU's file system recovers
. "${0%/*}/lib.sh"

ext4 disk.img 32M
serve disks -s 9,virtio-blk,disk.img,writeback
job killed <<'END'
check 'mount' mount /dev/vda /mnt
dd if=/dev/urandom of=/mnt/synced bs=64k count=16 2>/dev/null
sync
echo "@synced $(sum /mnt/synced)"
while :; do dd if=/dev/zero of=/mnt/load bs=64k count=64 2>/dev/null; done &
while :; do cat /dev/vda >/dev/null; echo 3 >/proc/sys/vm/drop_caches; done &
sleep 0.5
echo "@busy"
sleep 60
END
# shellcheck disable=SC2046
start killed $(plug disks 9)
await killed @busy
kill -9 "$pid"
ended killed 137
ok 'the server is there' disks.sock '{"command": "status"}'
job after "synced=$(said killed synced)" <<'END'
check 'mount' mount /dev/vda /mnt
equal 'what was synced' "$(sum /mnt/synced)" "$synced"
check 'a file' dd if=/dev/urandom of=/mnt/after bs=64k count=16 conv=fsync
check 'umount' umount /mnt
END
# shellcheck disable=SC2046
boot after $(plug disks 9)
served disks
expect_clean disk.img
finish
