#!/bin/sh
# Other kernels, on one image after the other: a newer one, and with ACRN_GUEST_FULL=1 Debian's for all machines.
# COVERS(guest): newer kernels
. "${0%/*}/lib.sh"

# In an emulated host a new kernel on two processors has crashed in its first second, before it looked for a disk, with
# an interrupt frame that made no sense. It starts again then; the check is that this was before its init ran.
append=panic=-1
ext4 disk.img 48M
tried=0 missing=''
for word in newer full; do
  folder=$ACRN_GUEST/$word
  [ -e "$folder" ] || continue
  if [ -e "$folder/missing" ]; then
    missing=$(tail -n 1 "$folder/missing")
    continue
  fi
  tried=$((tried + 1))
  base=$folder/base.gz kernel=$folder/vmlinuz
  job $word "word=$word" "release=$(cat "$folder/release")" <<'END'
equal 'kernel' "$(uname -r)" "$release"
contains 'the kernel' "$(dmesg)" 'virtio_pci: leaving for legacy driver'
check 'mount' mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/$word bs=64k count=16 2>/dev/null
echo "@file $(sum /mnt/$word)"
check 'umount' umount /mnt
fill /dev/vdb 512
END
  boot $word --cpus 2 -s 9,virtio-blk,disk.img,writeback,discard -s 10,virtio-blk,mq=2,ram:2M
  expect_equal "$word: crashes once it was up" "$(console $word | sed -n '/^@/,$p' | grep -c 'Kernel panic')" 0
  expect_clean disk.img
  expect_equal "$word: the file" "$(sum_in disk.img /$word)" "$(said $word file)"
done
[ $failures = 0 ] || finish
[ -z "$missing" ] || skipped "$missing"
finish
