#!/bin/sh
# Firmware boots the guest from its disks: a GPT with GRUB and a kernel on one, a qcow2 where it can be read, what it runs on
# another. It moves the BARs.
# COVERS(guest): firmware (CLOUDHV.fd): a qcow2 with a GPT, GRUB for EFI, three disks, moved BARs, two CPUs, reboot, power-off
. "${0%/*}/lib.sh"

[ ! -e "$ACRN_GUEST/firmware/missing" ] || skipped "$(tail -n 1 "$ACRN_GUEST/firmware/missing")"
disk=disk.img
[ ! -e "$ACRN_GUEST/firmware/disk.qcow2" ] || disk=disk.qcow2,format=qcow2
cp "$ACRN_GUEST/firmware/${disk%,*}" .
job efi <<'END'
check 'EFI' test -d /sys/firmware/efi
equal 'CPUs' "$(grep -c ^processor /proc/cpuinfo)" 2
check 'the partition' test -b /dev/vda1
contains 'interrupts' "$(grep virtio /proc/interrupts)" PCI-MSI
for slot in 9 a b; do
  read -r begin _ <"/sys/bus/pci/devices/0000:00:0$slot.0/resource"
  [ $((begin)) -ge $((0xc000)) ] || fail "slot $slot: its registers are at $begin"
done
if [ "$(head -c 5 /dev/vdc)" != again ]; then
  printf again | dd of=/dev/vdc conv=notrunc 2>/dev/null
  sync
  echo @reboots
  reboot -f
  sleep 10
fi
fill /dev/vdc 1024
echo @reads
read -r word
check '2000 reads' dd if=/dev/vdc of=/dev/null bs=4k count=2000 iflag=direct
echo @kicks
read -r word
END
ext4 job.img 64M
debugfs -w -R 'write efi.gz job.gz' job.img 2>/dev/null
truncate -s 16M data.img
firmware=$ACRN_GUEST/firmware/CLOUDHV.fd memory=512M limit=140
start efi --cpus 2 -s 9,virtio-blk,$disk -s 10,virtio-blk,job.img,ro -s 11,virtio-blk,data.img,writeback
# Where the firmware has moved the registers, a kick is still an eventfd of KVM's, and not an exit to us.
events=/sys/kernel/tracing/events/kvm/kvm_userspace_exit
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
[ -e $events ] || fail 'this kernel does not count exits'
await efi @reads
echo 'hist:keys=common_pid' >$events/trigger
echo >efi.in
await efi @kicks
exits=$(sed -n 's/^ *Hits: //p' $events/hist)
echo '!hist:keys=common_pid' >$events/trigger
echo >efi.in
ended efi
done_well efi
[ "${exits:-2000}" -lt 1000 ] || fail "exits to user space during 2000 reads one by one: '$exits'"
echo "booted from $disk; exits during 2000 reads: $exits"
expect_equal 'starts of GRUB' "$(console efi | grep -c @menu)" 2
expect_equal 'reboots' "$(console efi | grep -c @reboots)" 1
finish
