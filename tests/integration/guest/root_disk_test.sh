#!/bin/sh
# A guest whose root file system is its disk.
# COVERS(guest): a guest that runs from its disk
. "${0%/*}/lib.sh"

cp "$ACRN_GUEST/system.img" system.img
job root <<'END'
check 'mount' mount -o ro /dev/vda /mnt
for folder in dev proc sys run tmp; do
  mount --move /$folder /mnt/$folder
done
exec switch_root /mnt /sbin/init
END
append="root=/dev/vda ro"
boot root -s 9,virtio-blk,system.img,writeback
expect_equal 'the root' "$(said root root)" /dev/vda
expect_clean system.img
expect_equal 'what the guest wrote' "$(debugfs -R 'cat /root/written' system.img 2>/dev/null)" 'written by init'
finish
