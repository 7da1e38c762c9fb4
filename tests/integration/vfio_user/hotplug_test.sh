#!/bin/sh
# The disk comes and goes while the guest runs, again and again on the same socket; then another one comes to stay.
# Without MSI-X (--virtio_msi), since QEMU up to 11.1 aborts when a function with MSI-X goes, in vfio_user_msix_teardown.
# COVERS(guest): the disk comes and goes, on `pc` and behind a root port of `q35`; a new client on the same socket
. "${0%/*}/lib.sh"

limit=30
truncate -s 8M disk.img stays.img
for type in pc q35; do
  job $type <<'END'
round=0
while [ $round -lt 2 ]; do
  echo "@absent $round"
  until [ -e /sys/block/vda/size ]; do usleep 20000; done
  [ $round = 0 ] || equal 'what was written before' "$(dd if=/dev/vda bs=1k count=256 2>/dev/null | sum)" "$sum"
  fill /dev/vda 256
  contains 'interrupts' "$(grep virtio /proc/interrupts)" IO-APIC
  echo "@present $round"
  while [ -e /sys/block/vda ]; do usleep 20000; done
  round=$((round + 1))
done
echo "@absent $round"
until [ -e /sys/block/vda/size ]; do usleep 20000; done
fill /dev/vda 256
contains 'interrupts of the one that stays' "$(grep virtio /proc/interrupts)" PCI-MSI
END
  # Bus 0 of q35 takes no functions at run time.
  [ $type = pc ] && bus='"bus":"pci.0","addr":"09.0"' port='' || bus='"bus":"root1"' port='-device pcie-root-port,id=root1,slot=1'
  serve disks --virtio_msi -s 9,virtio-blk,disk.img,writeback
  serve stays -s 9,virtio-blk,stays.img,writeback
  # shellcheck disable=SC2086
  start $type $port
  for round in 0 1; do
    await $type "@absent $round" || break
    qmp device_add "$(device disks 9 '"id":"disk"' "$bus")"
    await $type "@present $round" || break
    qmp device_del '{"id":"disk"}'
    event $type 'DEVICE_DELETED.*"device"' $((round + 1))
  done
  await $type '@absent 2' && qmp device_add "$(device stays 9 "$bus")"
  ended $type
  done_well $type
  ! grep '"error"' $type.qmp || fail "$type: QMP"
  served disks
  served stays
done
finish
