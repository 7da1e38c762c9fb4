#!/bin/sh
# Where KVM works: what cannot be served is refused in one line, with the right status, and leaves nothing behind.
# COVERS(guest): bad input
# COVERS(input): bzImage headers: truncated, not a kernel, too little RAM
. "${0%/*}/lib.sh"

truncate -s 1M disk.img
truncate -s 1M held.img
head -c 100000 "$kernel" >truncated
head -c 100000 /dev/urandom >random
head -c 20 "$kernel" >short
: >empty
ramdisk=$ACRN_GUEST/base.gz
job holder <<'END'
echo @ready
read -r line
END
start holder --cmd_monitor live.sock -s 9,virtio-blk,held.img
await holder @ready

listing() { find . -mindepth 1 ! -name 'output*' ! -name '*.console' ! -name command.log -exec stat -c '%n %s %b %a %Y' {} + | sort; }
# refused <status> <part of the message> <option...>
refused() {
  status=$1 part=$2
  shift 2
  before=$(listing)
  timeout -s KILL 10 acrn-dm "$@" vm >output 2>output.err </dev/null
  expect_equal "$*: status" $? "$status"
  expect_equal "$*: stdout" "$(cat output)" ''
  expect_equal "$*: lines on stderr" "$(wc -l <output.err)" 1
  expect_contains "$*" "$(cat output.err)" "$part"
  expect_equal "$*: what is there afterwards" "$(listing)" "$before"
}
disk='-s 9,virtio-blk,disk.img'
# shellcheck disable=SC2086
{
  refused 64 -k $disk
  refused 66 "-k missing" -k missing $disk
  refused 66 "-k truncated" -k truncated $disk
  refused 66 "-k random" -k random $disk
  refused 66 "-k short" -k short $disk
  refused 66 "-k empty" -k empty $disk
  refused 66 "-k ." -k . $disk
  refused 66 "-r missing" -k "$kernel" -r missing $disk
  refused 66 "-r empty" -k "$kernel" -r empty $disk
  refused 64 "-m 8M" -m 8M -k "$kernel" -r "$ramdisk" $disk
  refused 66 "held.img" -k "$kernel" -r "$ramdisk" -s 9,virtio-blk,held.img
  refused 66 "held.img" -k "$kernel" -r "$ramdisk" $disk -s 10,virtio-blk,held.img,ro
  refused 66 "-l com1" -k "$kernel" -r "$ramdisk" $disk -l com1,nowhere/serial
  refused 66 "-l com1" -k "$kernel" -r "$ramdisk" $disk -l com1,.
  refused 66 "another process serves it" -k "$kernel" -r "$ramdisk" $disk --cmd_monitor live.sock
  refused 66 "not a socket" -k "$kernel" -r "$ramdisk" $disk --cmd_monitor disk.img
  refused 66 "missing.img" -k "$kernel" -r "$ramdisk" -s 9,virtio-blk,missing.img
  refused 69 "/dev/acrn_hsm" --hypervisor acrn -k "$kernel" -r "$ramdisk" $disk
}
ok 'the machine that has the socket' live.sock '{"command": "status"}'
echo >holder.in
ended holder
done_well holder
finish
