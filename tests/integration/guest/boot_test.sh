#!/bin/sh
# A guest's disk, from the driver's first words to its unbinding.
# COVERS(guest): MSI-X; mkfs, mount, checksums, remount, fsck; serial number; cache type both ways; `vblk_probe` in
#   the guest; unbind and bind; input on the console; a back end of vhost-user that sees the guest's memory
. "${0%/*}/lib.sh"

truncate -s 48M disk.img
truncate -s 1M second.img
disk=9,virtio-blk,disk.img,writeback
serial=$(acrn-dm --dry_run -s $disk vm | sed -n 's/^.*"serial": "\(.*\)".*/\1/p')
job boot "serial=$serial" <<'END'
with_tools /dev/vdc
contains 'the kernel' "$(dmesg)" 'virtio_pci: leaving for legacy driver'
equal 'capacity' "$(cat /sys/block/vda/size)" 98304
equal 'the derived serial' "$(cat /sys/block/vda/serial)" "$serial"
equal 'a serial of its own' "$(cat /sys/block/vdb/serial)" DISK01
contains 'MSI-X' "$(grep virtio0-req /proc/interrupts)" PCI-MSI

check 'mkfs' mkfs.ext4 -q -F /dev/vda
check 'mount' mount /dev/vda /mnt
dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null
check 'a file' cp /tmp/file /mnt/file
sync
check 'umount' umount /mnt
forget
check 'mount again' mount /dev/vda /mnt
equal 'the file after the remount' "$(sum /mnt/file)" "$(sum /tmp/file)"
check 'umount again' umount /mnt
echo "@file $(sum /tmp/file)"
[ "$(awk '/virtio0-req/ { print $2 }' /proc/interrupts)" -gt 100 ] || fail "few interrupts: $(grep virtio0 /proc/interrupts)"

# HOST_FEATURES: SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, ANY_LAYOUT, INDIRECT_DESC, EVENT_IDX; RO or DISCARD and
# WRITE_ZEROES.
vblk_probe >/tmp/probe || fail "vblk_probe: $?"
equal 'probe: features' "$(awk '/HOST_FEATURES/ { print $2 }' /tmp/probe | xargs)" '0x38000e44 0x38006e44 0x38000464'
equal 'probe: capacity' "$(awk '/capacity/ { print $2 }' /tmp/probe | head -n 2 | xargs)" '98304 2048'
equal 'probe: seg_max' "$(awk '/seg_max/ { print $2 }' /tmp/probe | xargs)" '62 126 62'
equal 'probe: blk_size' "$(awk '/blk_size/ { print $2 }' /tmp/probe | xargs)" '512 4096 512'
equal 'probe: writeback' "$(awk '/writeback/ { print $2 }' /tmp/probe | head -n 2 | xargs)" '1 0'
equal 'probe: identity' "$(grep -c '1af4:1001 revision 0 subsystem 1af4:0002' /tmp/probe)" 3
equal 'sector size' "$(cat /sys/block/vdb/queue/logical_block_size)" 4096

cache=/sys/block/vda/cache_type
equal 'cache mode' "$(cat $cache)" 'write back'
echo 'write through' >$cache
equal 'cache mode, changed' "$(cat $cache) $(vblk_probe | awk '/writeback/ { print $2; exit }')" 'write through 0'
fill /dev/vda 256
echo 'write back' >$cache
equal 'cache mode, changed back' "$(cat $cache) $(vblk_probe | awk '/writeback/ { print $2; exit }')" 'write back 1'
equal 'the other cache mode' "$(cat /sys/block/vdb/cache_type)" 'write through'
fill /dev/vda 256
sum_vda=$sum
fill /dev/vdb 256
echo "@second $(sum /dev/vdb)"

virtio=$(basename "$(readlink /sys/block/vda/device)")
echo "$virtio" >/sys/bus/virtio/drivers/virtio_blk/unbind
refuse 'the disk of an unbound driver' test -e /sys/block/vda
echo "$virtio" >/sys/bus/virtio/drivers/virtio_blk/bind
equal 'after unbind and bind' "$(dd if=/dev/vda bs=1k count=256 2>/dev/null | sum)" "$sum_vda"
echo 0000:00:09.0 >/sys/bus/pci/drivers/virtio-pci/unbind
echo 0000:00:09.0 >/sys/bus/pci/drivers/virtio-pci/bind
equal 'after unbind and bind of the function' "$(dd if=/dev/vda bs=1k count=256 2>/dev/null | sum)" "$sum_vda"
fill /dev/vda 64

check 'a write to port 0xf4' out_port 0xf4 1
echo @read
IFS= read -r line
equal 'the line from the console' "$line" 'a line, with "words" and \back\slashes'
END
start boot -s $disk -s 10,virtio-blk,second.img,serial=DISK01,sectorsize=4096,discard,queue_size=128 \
  -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
if await boot @read; then
  [ "$hypervisor" = acrn ] || expect_confined boot
  printf '%s\n' 'a line, with "words" and \back\slashes' >boot.in
fi
ended boot
done_well boot
expect_equal 'second.img' "$(said boot second)" "$(sum second.img)"

# What the guest's disk was while the file system was on it: made here, and looked at afterwards.
ext4 disk.img 48M
job files <<'END'
check 'mount' mount /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=64k count=32 2>/dev/null
mkdir /mnt/many
i=0
while [ $i -lt 100 ]; do
  echo $i >/mnt/many/$i
  i=$((i + 1))
done
echo "@file $(sum /mnt/file)"
check 'umount' umount /mnt
END
acrn-dm --serve vhost-user=. -s $disk back 2>back.err &
back=$!
tries=0
until [ -S back.9.0.sock ] || [ $tries = 100 ]; do tries=$((tries + 1)) && usleep 100000; done
boot files -s 9,virtio-blk,vhost-user:back.9.0.sock,share=on,writeback
kill $back
wait $back
expect_equal "the back end's exit status: $(cat back.err)" $? 0
expect_clean disk.img
expect_equal 'the file, seen from the host' "$(sum_in disk.img /file)" "$(said files file)"
expect_equal 'a small file, seen from the host' "$(debugfs -R 'cat /many/99' disk.img 2>/dev/null)" 99
finish
