#!/bin/sh
# A guest's writes, logged: of each state that a crash could have left, ext4 and xfs make a whole file system, and SQLite a
# whole database. Without barriers ext4 does not, and SQLite does not if it never waits for the disk.
# The kernel's dm-log-writes makes logs that are read as ours.
# COVERS(log=): ext4, xfs and SQLite survive every crash state; ext4 without barriers, and SQLite without syncs, do not
. "${0%/*}/lib.sh"

# logged <name> <assignments> <check>: what /job does on a copy of base.img, and what `vblk crash` says of its log. Leaves
# $status.
logged() {
  cp base.img disk.img
  serve disks -s "9,virtio-blk,disk.img,writeback,log=$1.log" -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
  echo "$script" | job "$1" "$2"
  # shellcheck disable=SC2046
  start "$1" $(plug disks 9) $(plug disks 20)
  ended "$1"
  done_well "$1"
  served disks
  timeout 100 vblk crash --base base.img --log "$1.log" --check "$3" --most 24 >said 2>err
  status=$?
  tail -n 3 said
}
survives() {
  logged "$@"
  expect_equal "$1: $(cat said err)" $status 0
  rm -f "$1.log"
}
fails() {
  logged "$@"
  expect_equal "$1: exit status" $status 74
  expect_contains "$1" "$(cat said)" ', and behind it:'
  rm -f "$1.log" "$1.log.failed"
}

script=$(
  cat <<'END'
check 'mount' mount -t $type -o "$options" /dev/vda /mnt
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
)
truncate -s 24M base.img
# Without checksums a journal trusts what it finds, as most file systems do.
expect 'mkfs.ext4' mkfs.ext4 -q -F -O ^metadata_csum,^metadata_csum_seed -J size=4 base.img
survives barrier 'type=ext4 options=barrier' ext4
fails nobarrier 'type=ext4 options=nobarrier' ext4
mkdir probe
if mkfs.xfs -q -f "$(truncate -s 300M base.img && echo base.img)" && mount -t xfs -o loop base.img probe 2>mount.err; then
  umount probe
  survives xfs 'type=xfs options=defaults' xfs
else
  echo "skipped: xfs ($(cat mount.err))"
fi

script=$(
  cat <<'END'
with_tools /dev/vdb
mount -t ext4 /dev/vda /mnt
for round in 1 2 3; do
  check "round $round" sqlite3 /mnt/db "pragma synchronous=$synchronous; begin;
    insert into t select value * 7919 % 10007, hex(randomblob(100)) from generate_series($round, 400);
    delete from t where k % 3 = $round; commit;" >/dev/null
done
sync
check 'umount' umount /mnt
END
)
mkdir files
sqlite3 files/db 'create table t(k, v); create index i on t(k);'
rm -f base.img
truncate -s 24M base.img
expect 'mkfs.ext4' mkfs.ext4 -q -F -d files -O ^metadata_csum,^metadata_csum_seed -J size=4 base.img
survives full 'synchronous=full' sqlite:/db
fails off 'synchronous=off' sqlite:/db

# The kernel's own log, of a disk of ours on another one.
rm -f base.img
truncate -s 24M base.img
truncate -s 32M kernel.log
expect 'mkfs.ext4' mkfs.ext4 -q -F -O ^metadata_csum,^metadata_csum_seed -J size=4 base.img
cp base.img disk.img
serve disks -s 9,virtio-blk,disk.img,writeback -s 10,virtio-blk,kernel.log,writeback -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
job kernel <<'END'
with_tools /dev/vdc
check 'dmsetup' dmsetup create logged --table "0 $(cat /sys/block/vda/size) log-writes /dev/vda /dev/vdb"
check 'mount' mount -t ext4 /dev/dm-0 /mnt
for file in 1 2 3 4; do echo $file >/mnt/$file; done
sync
check 'mark' dmsetup message logged 0 mark four
echo 'behind the mark' >/mnt/5
sync
check 'umount' umount /mnt
check 'dmsetup' dmsetup remove logged
END
# shellcheck disable=SC2046
start kernel $(plug disks 9) $(plug disks 10) $(plug disks 20)
ended kernel
done_well kernel
served disks
crash="timeout 100 vblk crash --base base.img --log kernel.log --check"
$crash ext4 >said 2>err
expect_equal "the kernel's log: $(cat said err)" $? 0
$crash '! grep -q "behind the mark" %' >said 2>err
expect_equal 'a state behind the mark: exit status' $? 74
expect_contains 'a state behind the mark' "$(cat said)" '(last mark: four)'
finish
