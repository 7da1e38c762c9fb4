#!/usr/bin/env bash
# A disk for another hypervisor: acrn-dm serves it over vfio-user, and an unmodified QEMU plugs it in as its own PCI device.
# QEMU 10.1 or later can; one is fetched. From a terminal you get a shell in the guest, with the disk on /mnt ("exit"
# powers the guest off, Ctrl-a x ends it at once); otherwise the guest runs a small job.
source "$(dirname "$0")/lib.sh"
begin qemu_vfio_user
qemu=$(samples/guest/get_qemu.sh "$guest_cache")
accelerator=tcg
! samples/guest/kvm_usable.sh 2>/dev/null || accelerator=kvm

step "a disk with one file, an initramfs with the guest's script"
mkdir "$vm/files"
echo "hello from the host" >"$vm/files/from_the_host"
file_system disk.img 32M -d "$vm/files"
# shellcheck disable=SC2016  # for the guest's shell
job='cat from_the_host; echo "hello from Linux $(uname -r) on $(cat /sys/block/vda/serial)" >from_the_guest'
[ ! -t 0 ] || job='ls -l; setsid cttyhack sh'
# shellcheck disable=SC2119
initrd <<END
dmesg | grep -E 'virtio_pci: leaving|\[vda\]'
mount /dev/vda /mnt
cd /mnt
$job
cd /
umount /mnt
END

PATH="$PWD/build/release/dm:$PATH"
cd "$vm"
step "acrn-dm --serve vfio-user=. -s 9,virtio-blk,disk.img,writeback vm1"
serve vfio-user vm1.9.0.sock -s 9,virtio-blk,disk.img,writeback vm1

# QEMU shares the guest's memory with acrn-dm: memory-backend-memfd,share=on.
command=("$qemu" -machine "pc,memory-backend=ram" -accel "$accelerator" -cpu max -m 256M \
  -object "memory-backend-memfd,id=ram,size=256M,share=on" -nodefaults -display none -serial mon:stdio -no-reboot \
  -kernel vmlinuz -initrd initrd.gz -append "console=ttyS0 quiet panic=-1" \
  -device '{"driver":"vfio-user-pci","socket":{"path":"vm1.9.0.sock","type":"unix"},"addr":"09.0"}')
step "${command[*]}"
timeout --foreground 600 "${command[@]}"

serve_end
cd - >/dev/null
step "back on this host: the disk's files, and what the guest wrote"
look "$vm/disk.img" 'ls -l /'
look "$vm/disk.img" 'cat /from_the_guest'
