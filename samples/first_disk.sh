#!/usr/bin/env bash
# The main job, from nothing: builds, makes real disk images, and drives them through the emulated device.
set -euo pipefail
cd "$(dirname "$0")/.."
./bootstrap.sh
PATH="$PWD/build/release/dm/tools:$PWD/build/release/dm:$PATH:/usr/sbin:/sbin"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '\n== %s\n' "$*"; }

say "an ext4 image made of this project's include folder"
truncate -s 64M "$work/in.img" "$work/out.img"
mkfs.ext4 -q -d include "$work/in.img"

say "vblk info: the PCI function, as a driver sees it"
vblk info -s "9,virtio-blk,$work/in.img,ro"

say "vblk copy: the whole disk through two emulated devices"
vblk copy -s "3,virtio-blk,$work/in.img,ro" -s "4,virtio-blk,$work/out.img,writeback"
cmp "$work/in.img" "$work/out.img" && echo "cmp: the images are equal"
e2fsck -fn "$work/out.img" >/dev/null 2>&1 && echo "e2fsck: the copied file system is clean"

say "vblk write and read: a partitioned image, sector by sector"
truncate -s 8M "$work/parted.img"
echo ',,L' | sfdisk -q "$work/parted.img"
printf 'hello from a guest\n' | dd bs=512 conv=sync status=none |
  vblk write -s "3,virtio-blk,$work/parted.img" --sector 2048
vblk read -s "3,virtio-blk,$work/parted.img,ro" --sector 2048 --count 1 | tr -d '\0'

say "vblk copy: a sparse 8 GiB image stays sparse"
truncate -s 8G "$work/sparse.img" "$work/sparse-copy.img"
printf 'far out' | dd of="$work/sparse.img" bs=1 seek=7G conv=notrunc status=none
vblk copy --no-verify -s "3,virtio-blk,$work/sparse.img,ro" -s "4,virtio-blk,$work/sparse-copy.img,writeback,discard"
du -h --apparent-size "$work/sparse-copy.img"; du -h "$work/sparse-copy.img"

say "vblk check: the device against the specification, clause by clause"
vblk check -s "3,virtio-blk,$work/out.img,discard"

say "vblk bench: against the same file itself"
vblk bench -s "3,virtio-blk,$work/out.img,writeback" --rw randread --bs 4k --qd 16 --seconds 3 --direct-baseline

say "acrn-dm --dry_run: what a launch script's command line resolves to"
acrn-dm --dry_run -m 512M -s 0:0,hostbridge -s "9,virtio-blk,$work/in.img,ro" vm1
