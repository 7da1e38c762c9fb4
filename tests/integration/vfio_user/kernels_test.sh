#!/bin/sh
# The oldest and the newest kernel that Debian has, over the legacy function: what one has written the next one reads.
# COVERS(guest): Linux 5.10 and Debian's newest
. "${0%/*}/lib.sh"

truncate -s 16M disk.img
head -c 4194304 /dev/urandom | dd of=disk.img conv=notrunc 2>/dev/null
missing='' sum=$(head -c 4194304 disk.img | sha256sum | cut -d ' ' -f 1)
for age in oldest newest; do
  folder=$ACRN_GUEST/$age
  [ ! -e "$folder/missing" ] || { missing=$(tail -n 1 "$folder/missing") && continue; }
  base=$folder/base.gz kernel=$folder/vmlinuz
  serve disks -s 9,virtio-blk,disk.img,writeback,discard
  job $age "release=$(cat "$folder/release")" "sum=$sum" <<'END'
equal 'kernel' "$(uname -r)" "$release"
equal 'the driver' "$(dmesg | grep -c 'virtio_pci: leaving for legacy driver')" 1
equal 'what was written before' "$(dd if=/dev/vda bs=1k count=4096 2>/dev/null | sum)" "$sum"
fill /dev/vda 4096
echo "@sum $sum"
END
  # shellcheck disable=SC2046
  start $age $(plug disks 9)
  ended $age
  done_well $age
  served disks
  sum=$(said $age sum)
  echo "$(cat "$folder/release"): read and wrote"
done
expect_equal 'what is in the file' "$(head -c 4194304 disk.img | sha256sum | cut -d ' ' -f 1)" "$sum"
[ $failures = 0 ] || finish
[ -z "$missing" ] || skipped "$missing"
finish
