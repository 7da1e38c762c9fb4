#!/bin/sh
# A read-only disk stays as it is; a discard gives the host its blocks back.
# COVERS(guest): read-only, discard
. "${0%/*}/lib.sh"

head -c 1048576 /dev/urandom >ro.img
before=$(sum ro.img)
ext4 disk.img 48M
job medium "sum=$before" <<'END'
equal 'ro' "$(cat /sys/block/vda/ro)" 1
equal 'ro: what is in it' "$(sum /dev/vda)" $sum
refuse 'ro: a write' dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync
echo 0 >/sys/block/vda/force_ro 2>/dev/null
blockdev --setrw /dev/vda
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null
equal 'no discard for a read-only disk' "$(cat /sys/block/vda/queue/discard_max_bytes)" 0
forget
equal 'ro: what is in it after a write' "$(sum /dev/vda)" $sum

check 'mount' mount /dev/vdb /mnt
dd if=/dev/urandom of=/mnt/kept bs=64k count=16 2>/dev/null
dd if=/dev/urandom of=/mnt/gone bs=64k count=256 2>/dev/null
sync
echo "@kept $(sum /mnt/kept)"
echo @written
read -r line
rm /mnt/gone
sync
check 'fstrim' fstrim -v /mnt
cat /tmp/check
check 'umount' umount /mnt
check 'blkdiscard' blkdiscard -o 0 -l 65536 /dev/vdc
equal 'what was discarded' "$(dd if=/dev/vdc bs=64k count=1 2>/dev/null | tr -d '\0' | wc -c)" 0
END
head -c 1048576 /dev/urandom >raw.img
tail=$(tail -c 983040 raw.img | sha256sum)
start medium -s 9,virtio-blk,ro.img,ro -s 10,virtio-blk,disk.img,writeback,discard -s 11,virtio-blk,raw.img,discard
if await medium @written; then
  full=$(stat -c %b disk.img)
  echo >medium.in
fi
ended medium
done_well medium
expect_equal 'the read-only image' "$(sum ro.img)" "$before"
expect_above 'blocks given back' $((full - $(stat -c %b disk.img))) 30000
expect_clean disk.img
expect_equal 'what was kept' "$(sum_in disk.img /kept)" "$(said medium kept)"
expect_equal 'beyond what was discarded' "$(tail -c 983040 raw.img | sha256sum)" "$tail"
finish
