#!/bin/sh
# Two disks of one process, on both of QEMU's machines, by MSI-X and by INTx: a file system, and drivers that come and go.
# One of them is served, on the second machine, by a back end that sees the guest's memory.
# COVERS(guest): `pc` with MSI-X and `q35` with INTx, two disks of one process: mkfs, mount, checksums, remount, fsck;
#   unbind and bind of both drivers; a back end that shares the guest's memory
. "${0%/*}/lib.sh"

truncate -s 48M disk.img
job boot <<'END'
with_tools /dev/vdb
equal 'the driver' "$(dmesg | grep -c 'virtio_pci: leaving for legacy driver')" 2
equal 'capacity' "$(cat /sys/block/vda/size)" 98304
equal 'serial' "$(cat /sys/block/vda/serial)" DISK01
contains 'interrupts' "$(grep virtio /proc/interrupts)" "$interrupts"

check 'mkfs' mkfs.ext4 -q -F /dev/vda
check 'mount' mount /dev/vda /mnt
dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null
check 'a file' cp /tmp/file /mnt/file
check 'umount' umount /mnt
forget
check 'mount again' mount /dev/vda /mnt
equal 'the file after the remount' "$(sum /mnt/file)" "$(sum /tmp/file)"
check 'umount again' umount /mnt
echo "@file $(sum /tmp/file)"

virtio=$(basename "$(readlink /sys/block/vda/device)")
for driver in "virtio/drivers/virtio_blk $virtio" "pci/drivers/virtio-pci $function"; do
  echo "${driver#* }" >"/sys/bus/${driver% *}/unbind"
  refuse 'the disk of an unbound driver' test -e /sys/block/vda
  echo "${driver#* }" >"/sys/bus/${driver% *}/bind"
  check 'mount after the driver came back' mount -o ro /dev/vda /mnt
  equal 'the file then' "$(sum /mnt/file)" "$(sum /tmp/file)"
  check 'umount then' umount /mnt
done
END
script=$(cat boot.files/job)
for type in pc q35; do
  interrupts=PCI-MSI append='' disk=disk.img
  if [ $type = q35 ]; then
    interrupts=IO-APIC append=pci=nomsi disk=vhost-user:back.9.0.sock,share=on
    setpriv --pdeathsig KILL acrn-dm --serve vhost-user=. -s 9,virtio-blk,disk.img,writeback back 2>back.err &
    back=$!
    until_true 100 test -S back.9.0.sock || fail "no back end: $(cat back.err)"
  fi
  serve disks -s "9,virtio-blk,$disk,writeback,serial=DISK01" -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
  echo "$script" | job $type "interrupts=$interrupts function=0000:00:09.0"
  # shellcheck disable=SC2046
  start $type $(plug disks 9) $(plug disks 20)
  [ $type = pc ] || until_true 300 grep -q /memfd:memory-backend-memfd "/proc/$back/maps" ||
    fail "the back end does not see the guest's memory: $(grep /memfd "/proc/$back/maps")"
  ended $type
  done_well $type
  served disks
  [ $type = pc ] || kill $back
  expect_clean disk.img
  expect_equal "$type: the file, seen from the host" "$(sum_in disk.img /file)" "$(said $type file)"
done
finish
