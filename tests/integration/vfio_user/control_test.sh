#!/bin/sh
# The control socket of a server whose disk is in use; clients that are turned away; a disk that is there later.
# COVERS(guest): rescan, resize and statistics of a disk in use; a second client, and memory that is not shared, are
#   refused
. "${0%/*}/lib.sh"

# expect_refused <what> <option of QEMU>...: it ends, well or by an assertion of its own (11.1, when it is turned away).
expect_refused() {
  what=$1
  shift
  # shellcheck disable=SC2046
  timeout -s KILL 20 qemu-system-x86_64 -accel tcg -m 64M -nodefaults -display none -S "$@" $(plug disks 9) >refused 2>&1
  status=$?
  [ $status = 1 ] || [ $status = 134 ] || fail "$what: exit status of QEMU: $status"
}

truncate -s 8M disk.img
serve disks --sandbox-path . -s 9,virtio-blk,disk.img,writeback -s 10,virtio-blk,nodisk
job guest <<'END'
fill /dev/vda 256
echo "@vdb $(cat /sys/block/vdb/size)"
until [ "$(cat /sys/block/vda/size) $(cat /sys/block/vdb/size)" = '32768 2048' ]; do usleep 20000; done
fill /dev/vdb 256
check 'a write behind the old end' dd if=/dev/urandom of=/dev/vda bs=1M seek=12 count=1 conv=notrunc,fsync
echo "@sums $(sum /dev/vda) $(sum /dev/vdb)"
END
# shellcheck disable=SC2046
start guest $(plug disks 9) $(plug disks 10)
if await guest @vdb; then
  expect_equal 'a slot without a disk' "$(said guest vdb)" 0
  expect_refused 'a second client' -machine pc,memory-backend=ram -object memory-backend-memfd,id=ram,size=64M,share=on

  truncate -s 16M disk.img
  truncate -s 1M second.img
  ok 'resize' disks.sock '{"command": "resize", "arguments": "9"}'
  ok 'blkrescan' disks.sock '{"command": "blkrescan", "arguments": "10,second.img"}'
fi
ended guest
done_well guest
ok 'stats' disks.sock '{"command": "stats", "arguments": "9"}'
expect_above 'writes' "$(echo "$reply" | sed -n 's/.*"requests":{"read":[0-9]*,"write":\([0-9]*\).*/\1/p')" 0
expect_equal 'what the guest has seen' "$(said guest sums)" "$(sum disk.img) $(sum second.img)"

expect_refused 'memory that is not shared'
expect_contains 'the server says what to do' "$(cat disks.err)" memory-backend-memfd
: >disks.err
served disks
finish
