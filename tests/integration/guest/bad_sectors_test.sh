#!/bin/sh
# Sectors that fail beneath what was in memory, of a device and of a file: their reads are errors, other reads are right, and
# what was mended can be read again.
# COVERS(guest): errors of the medium beneath mapped reads
. "${0%/*}/lib.sh"

[ "$ACRN_GUEST" = /guest ] || skipped "this host's devices are not ours to break"
[ -e /dev/mapper/control ] || skipped 'the host has no device mapper'
mkdir groups
mount -t cgroup2 none groups && echo +memory >groups/cgroup.subtree_control && mkdir groups/vm || skipped 'the host has no memory control groups'
export DM_DISABLE_UDEV=1

# sick_disk <name>: 8 MiB of random bytes behind /dev/mapper/<name>.
sick_disk() {
  head -c 8388608 /dev/urandom >"$1.under"
  loops="$loops $(losetup -f)"
  losetup "${loops##* }" "$1.under" || fail "losetup $1"
  expect "$1" dmsetup create "$1" --table "0 16384 linear ${loops##* } 0"
}
# change <name> <table>
change() {
  printf '%s\n' "$2" >table
  expect "$1: suspend" dmsetup suspend --noflush --nolockfs "$1"
  expect "$1: a new table" dmsetup load "$1" table
  expect "$1: resume" dmsetup resume "$1"
}
# What acrn-dm has mapped leaves the host's memory.
reclaim() {
  tries=0
  while [ $tries -lt 20 ]; do
    echo 64M >groups/vm/memory.reclaim 2>/dev/null
    tries=$((tries + 1))
  done
}
loops=''
sick_disk raw
raw=${loops##* }
sick_disk under
under=${loops##* }
expect 'a file system' mkfs.ext4 -q -F -b 4096 /dev/mapper/under
mkdir mnt
expect 'mount' mount -t ext4 /dev/mapper/under mnt
head -c 4194304 /dev/urandom >mnt/disk.img
sync

job bad_sectors "raw=$(sum /dev/mapper/raw) sound=$(head -c 2097152 raw.under | sha256sum | cut -d ' ' -f 1) file=$(sum mnt/disk.img)" <<'END'
# Twice: what was read once is mapped.
for round in 1 2; do
  forget
  equal "the device, $round" "$(sum /dev/vda)" $raw
  equal "the file, $round" "$(sum /dev/vdb)" $file
done
echo @read
read -r line
forget
refuse 'bad sectors' dd if=/dev/vda of=/dev/null bs=4k skip=1024 count=1
refuse 'a bad file' dd if=/dev/vdb of=/dev/null bs=4k count=1
forget
equal 'sound sectors' "$(head -c 2097152 /dev/vda | sum)" $sound
echo @failed
read -r line
forget
equal 'the device, mended' "$(sum /dev/vda)" $raw
equal 'the file, mended' "$(sum /dev/vdb)" $file
END
echo 3 >/proc/sys/vm/drop_caches
echo $$ >groups/vm/cgroup.procs
start bad_sectors --cmd_monitor control.sock -s 9,virtio-blk,/dev/mapper/raw,ro,map=on -s 10,virtio-blk,mnt/disk.img,ro,map=on
echo $$ >groups/cgroup.procs
if await bad_sectors @read; then
  # 64 sectors at 4 MiB; the whole of what is under the file system.
  change raw "0 8192 linear $raw 0
8192 64 error
8256 8128 linear $raw 8256"
  change under '0 16384 error'
  reclaim
  echo >bad_sectors.in
fi
if await bad_sectors @failed; then
  for slot in 9 10; do
    ok 'stats' control.sock "{\"command\": \"stats\", \"arguments\": \"$slot\"}"
    expect_contains "slot $slot: errors" "$reply" '"host":{"read":{"EIO":'
  done
  change raw "0 16384 linear $raw 0"
  change under "0 16384 linear $under 0"
  echo >bad_sectors.in
fi
wait "$(cat bad_sectors.pid)"
expect_equal 'exit status' $? 0
rm -f bad_sectors.pid
done_well bad_sectors
expect 'umount' umount mnt
for name in raw under; do dmsetup remove "$name"; done
umount groups
for loop in $loops; do losetup -d "$loop"; done
finish
