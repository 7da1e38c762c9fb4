#!/bin/sh
# Several disks, in the order of their slots, without MSI: on the I/O APIC's lines and on the PIC's, which ACRN's port has
# none of.
# COVERS(guest): two disks in the order of their slots; INTx by I/O APIC and by PIC
. "${0%/*}/lib.sh"

disks=''
for slot in 9 10 11 12; do
  truncate -s 1M "disk$slot.img"
  disks="$disks -s $slot,virtio-blk,disk$slot.img,writeback,serial=slot$slot"
done
lines='5 10 11'
[ "$hypervisor" = kvm ] || lines='16 17 18'
check_lines() {
  job "$1" "controller=$2" "lines='$lines'" <<'END'
grep virtio /proc/interrupts
for line in $lines; do
  contains "line $line" "$(grep "^ *$line:" /proc/interrupts)" virtio
  contains "line $line" "$(grep "^ *$line:" /proc/interrupts)" "$controller"
done
slot=9
for disk in vda vdb vdc vdd; do
  equal "$disk" "$(cat /sys/block/$disk/serial)" slot$slot
  { fill /dev/$disk 512; echo "@$disk $(sum /dev/$disk)"; } >/tmp/$disk &
  slot=$((slot + 1))
done
wait
cat /tmp/vd?
END
  append=$3
  # shellcheck disable=SC2086
  start "$1" $disks
  # Without ACPI a guest cannot switch itself off.
  [ "$3" != acpi=off ] || { await "$1" @done && kill -TERM "$pid"; }
  ended "$1"
  done_well "$1"
  for disk in vda:9 vdb:10 vdc:11 vdd:12; do
    expect_equal "$1: the image of $disk" "$(said "$1" "${disk%:*}")" "$(sum "disk${disk#*:}.img")"
  done
}
check_lines apic IO-APIC pci=nomsi
[ "$hypervisor" != kvm ] || check_lines pic XT-PIC acpi=off
finish
