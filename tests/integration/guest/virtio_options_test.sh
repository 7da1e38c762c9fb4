#!/bin/sh
# The options that all virtio devices share.
# COVERS(guest): `--virtio_msi`, `--windows`, `--virtio_poll`
. "${0%/*}/lib.sh"

truncate -s 2M disk.img
disk=9,virtio-blk,disk.img
job msi <<'END'
lines=$(grep virtio /proc/interrupts)
equal 'lines in /proc/interrupts' "$(echo "$lines" | wc -l)" 1
subsystem=$(cat /sys/bus/pci/devices/0000:00:09.0/subsystem_vendor)
equal 'subsystem vendor' "$subsystem" 0x1af4
fill /dev/vda 1024
END
boot msi --virtio_msi -s $disk

job windows <<'END'
equal 'subsystem vendor' "$(cat /sys/bus/pci/devices/0000:00:09.0/subsystem_vendor)" 0x108e
fill /dev/vda 1024
END
boot windows --windows -s $disk,writeback

job poll <<'END'
fill /dev/vda 512
END
start poll --virtio_poll 1000000 --cmd_monitor poll.sock -s $disk,writeback
ended poll
done_well poll
finish
