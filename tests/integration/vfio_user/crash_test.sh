#!/bin/sh
# ext4 in a guest, with its writes logged: each state that a crash could have left is one that its journal mends. Without
# barriers it is not.
# COVERS(log=): ext4 survives every crash state; without barriers it does not
. "${0%/*}/lib.sh"

job crash <<'END'
check 'mount' mount -t ext4 -o "$options" /dev/vda /mnt
for round in 1 2 3; do
  mkdir /mnt/$round
  for file in 1 2 3 4 5 6 7 8; do echo "$round $file" >/mnt/$round/$file; done
  sync
  rm -r /mnt/$((round - 1)) 2>/dev/null
  mv /mnt/$round/1 /mnt/$round/moved
done
sync
check 'umount' umount /mnt
END
script=$(cat crash.files/job)
for way in barrier nobarrier; do
  truncate -s 24M base.img
  # Without checksums a journal trusts what it finds, as most file systems do.
  expect "$way: mkfs" mkfs.ext4 -q -F -O ^metadata_csum,^metadata_csum_seed -J size=4 base.img
  cp base.img disk.img
  serve disks -s "9,virtio-blk,disk.img,writeback,log=$way.log"
  echo "$script" | job $way "options=$way"
  # shellcheck disable=SC2046
  start $way $(plug disks 9)
  ended $way
  done_well $way
  served disks
  timeout 100 vblk crash --base base.img --log $way.log --check ext4 --most 24 >$way.said 2>$way.err
  eval "$way=$?"
  tail -n 3 $way.said
done
# shellcheck disable=SC2154
expect_equal "with barriers: $(cat barrier.said)" "$barrier" 0
# shellcheck disable=SC2154
expect_equal 'without barriers: exit status' "$nobarrier" 74
expect_contains 'without barriers' "$(cat nobarrier.said)" 'fails: everything up to entry'
finish
