#!/bin/sh
# A thin image that fills its file system: the VM pauses, and goes on where it was once there is room. A disk with a limit
# takes its time.
# COVERS(guest): werror=enospc, limits
. "${0%/*}/lib.sh"

mkdir thin
mount -t tmpfs -o size=4m none thin 2>/dev/null || skipped 'a file system of 4 MiB cannot be mounted here'
truncate -s 16M thin/disk.img limited.img
job full <<'END'
dd if=/dev/urandom of=/tmp/data bs=64k count=128 2>/dev/null
check 'a write of 8 MiB' dd if=/tmp/data of=/dev/vda bs=64k conv=notrunc,fsync
echo @written
forget
equal 'what was written' "$(dd if=/dev/vda bs=64k count=128 2>/dev/null | sum)" "$(sum /tmp/data)"

begin=$(cut -d . -f 1 /proc/uptime)
dd if=/dev/vdb of=/dev/null bs=64k count=80 iflag=direct 2>/dev/null
echo "@seconds $(($(cut -d . -f 1 /proc/uptime) - begin))"
read -r line
END
start full --cmd_monitor control.sock -s 9,virtio-blk,thin/disk.img,writeback,werror=enospc \
  -s 10,virtio-blk,limited.img,ro,bps_rd=1M
tries=0
until control control.sock '{"command": "status"}' 2>/dev/null | grep -q paused; do
  tries=$((tries + 1))
  if ! running full || [ $tries -gt 300 ]; then
    fail 'the VM has not paused'
    break
  fi
  usleep 100000
done
expect_equal 'written before there was room' "$(grep -c @written full.console)" 0
ok 'stats' control.sock '{"command": "stats", "arguments": "9"}'
expect_contains 'errors' "$reply" '"host":{"write":{"ENOSPC":'
mount -o remount,size=64m thin || fail 'there is no more room'
ok 'resume' control.sock '{"command": "resume"}'
if await full @seconds; then
  ok 'stats' control.sock '{"command": "stats", "arguments": "10"}'
  expect_above 'requests that waited for the limit' "$(echo "$reply" | sed -n 's/.*"delayed":\([0-9]*\).*/\1/p')" 0
fi
echo >full.in
wait "$(cat full.pid)"
expect_equal 'exit status' $? 0
rm -f full.pid
done_well full
# 5 MiB at 1 MiB a second, from a bucket that was full.
expect_above 'seconds for 5 MiB' "$(said full seconds)" 3
umount thin
finish
