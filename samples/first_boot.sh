#!/usr/bin/env bash
# From nothing to a guest that runs from its disk: builds acrn-dm, gets a Debian kernel, makes a disk image, boots a guest
# that mounts it, and reads back on this host what the guest wrote.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

say "building acrn-dm"
./bootstrap.sh --target acrn-dm --target kvm_probe
vm=build/samples/first_boot
rm -rf "$vm"
mkdir -p "$vm/files"

say "a kernel, an initramfs, a disk image"
kernel=$(samples/guest/get_kernel.sh linux-image-cloud-amd64 build/guest)
cat >"$vm/init" <<'END'
echo "guest: Linux $(uname -r) is up after $(cut -d ' ' -f 1 /proc/uptime) s"
dmesg | grep -E 'virtio_pci: leaving|\[vda\]'
mount /dev/vda /mnt
cat /mnt/from_the_host
echo "hello from Linux $(uname -r), written to /dev/vda" >/mnt/from_the_guest
umount /mnt
END
samples/guest/make_initrd.sh "$vm/initrd.gz" --kernel "$kernel" --init "$vm/init" --module virtio_pci --module virtio_blk
cp "$kernel/vmlinuz" "$vm/"
echo "hello from the host" >"$vm/files/from_the_host"
truncate -s 32M "$vm/disk.img"
PATH="$PATH:/usr/sbin:/sbin" mkfs.ext4 -q -d "$vm/files" "$vm/disk.img"
ls -lh "$vm"

say "acrn-dm -m 256M -k vmlinuz -r initrd.gz ... -s 9,virtio-blk,disk.img,writeback vm1"
samples/guest/kvm_host.sh "$vm" --get disk.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio -s 9,virtio-blk,disk.img,writeback vm1

say "back on the host: what the guest wrote into disk.img"
PATH="$PATH:/usr/sbin:/sbin" debugfs -R 'cat /from_the_guest' "$vm/disk.img" 2>/dev/null
