#!/usr/bin/env bash
# A disk for a kernel that runs as a process: acrn-dm serves it over vhost-user, and Debian's User Mode Linux mounts it.
# Needs no KVM and no QEMU, and takes seconds.
source "$(dirname "$0")/lib.sh"
cd "$guest_dir/../.."
step "acrn-dm, and Debian's User Mode Linux"
need e2fsprogs
./bootstrap.sh --target acrn-dm
uml=$(samples/guest/get_uml.sh "$guest_cache")
vm=build/samples/uml_vhost_user
rm -rf "$vm"
mkdir -p "$vm/files"

step "a disk with one file, an initramfs with the guest's script"
echo "hello from the host" >"$vm/files/from_the_host"
file_system disk.img 32M -d "$vm/files"
cat >"$vm/init" <<'END'
echo "guest: Linux $(uname -r) is up after $(cut -d ' ' -f 1 /proc/uptime) s"
mount /dev/vda /mnt
cat /mnt/from_the_host
echo "hello from Linux $(uname -r) on $(cat /sys/block/vda/serial)" >/mnt/from_the_guest
umount /mnt
END
samples/guest/make_initrd.sh "$vm/initrd.gz" --kernel "$uml" --init "$vm/init" --module virtio_blk

PATH="$PWD/build/release/dm:$PATH"
cd "$vm"
step "acrn-dm --serve vhost-user=. -s 9,virtio-blk,disk.img,writeback vm1"
serve vhost-user vm1.9.0.sock -s 9,virtio-blk,disk.img,writeback vm1

# 2 is the ID of a block device.
command=("$uml/linux" mem=128M initrd=initrd.gz con=null con0=null,fd:1 quiet virtio_uml.device=vm1.9.0.sock:2)
step "linux ${command[*]:1}"
timeout --foreground 60 "${command[@]}" </dev/null

serve_end
cd - >/dev/null
step "back on this host: what the guest wrote"
look "$vm/disk.img" 'cat /from_the_guest'
