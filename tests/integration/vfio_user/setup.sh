#!/usr/bin/env bash
# What the tests of this folder need: a QEMU that is a vfio-user client, a kernel, an initramfs, a disk of programs.
#   setup.sh <folder> <acrn-dm> <folder of the bare-metal kernels> <vblk>
# Exit status 77: something is missing that cannot be fetched; "skipped: " and what, for the tests as well.
source "$(dirname "$0")/../../../samples/guest/lib.sh"

[ $# = 4 ] || usage 64
tests=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$1"
mkdir -p "$1/bin"
folder=$(cd "$1" && pwd)

{
  (need busybox-static cpio kmod e2fsprogs socat dmsetup fio sqlite3 xfsprogs) &&
    qemu=$("$guest_dir/get_qemu.sh" "$guest_cache") &&
    kernel=$("$guest_dir/get_kernel.sh" linux-image-cloud-amd64 "$guest_cache")
} 2>"$folder/why" || {
  printf 'skipped: %s\n' "$(tail -n 1 "$folder/why")" | tee "$folder/skipped"
  exit 77
}

ln -s "$qemu" "$(realpath "$2")" "$(realpath "$3/host/answer")" "$(realpath "$4")" "$folder/bin/"
ln -s "$kernel/vmlinuz" "$folder/"
ln -s "$(realpath "$3")" "$folder/bare_metal"
"$guest_dir/make_initrd.sh" "$folder/base.gz" --kernel "$kernel" --init "$tests/guest/guest.init" \
  --module virtio_pci --module virtio_blk --module xfs --module dm_log_writes
# The oldest and the newest kernel that Debian has, and a whole Debian, each as far as it can be had.
for word in oldest:bullseye newest:sid; do
  to=$folder/${word%%:*}
  mkdir "$to"
  if other=$("$guest_dir/get_kernel.sh" "linux-image-cloud-amd64/${word#*:}" "$guest_cache" 2>"$to/missing"); then
    rm "$to/missing"
    ln -s "$other/vmlinuz" "$other/release" "$to/"
    "$guest_dir/make_initrd.sh" "$to/base.gz" --kernel "$other" --init "$tests/guest/guest.init" --module virtio_pci \
      --module virtio_blk
  fi
done
if debian=$("$guest_dir/get_debian_disk.sh" "$guest_cache" 2>"$folder/debian.missing"); then
  ln -s "$debian" "$folder/"
fi
mkdir "$folder/uboot"
if uboot=$("$guest_dir/get_uboot.sh" "$guest_cache" 2>"$folder/uboot/missing"); then
  ln -s "$uboot" "$folder/uboot/"
fi
# These with their libraries are too much for an initramfs.
"$guest_dir/make_root.sh" "$folder/tools" --file fio:/tools/fio --file mkfs.ext4:/tools/mkfs.ext4 \
  --file sqlite3:/tools/sqlite3 --file dmsetup:/tools/dmsetup
truncate -s $(($(du -sm "$folder/tools" | cut -f 1) * 9 / 8 + 8))M "$folder/tools.img"
mkfs.ext4 -q -F -O ^has_journal -m 0 -d "$folder/tools" "$folder/tools.img"
rm -rf "$folder/tools"
