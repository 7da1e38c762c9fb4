#!/bin/bash
# The sample launch script starts what it says.
# usage: launch_script_test.sh <acrn-dm> <launch_user_vm.sh>
. "$(dirname "$0")/lib.sh"
export ACRN_DM=$1
script=$2

export DISK="$work/a, disk.img" KERNEL="$work/vmlinuz"
truncate -s 1M "$DISK"
: >"$KERNEL"

run bash "$script" --dry_run
expect_equal 'exit code' "$status" 0
expect_contains 'disk' "$out" "\"source\": \"$DISK\""
expect_contains 'cache' "$out" '"cache": "writeback"'
expect_contains 'memory' "$out" '"memory_bytes": 536870912'
expect_contains 'kernel' "$out" "\"kernel\": \"$KERNEL\""
expect_contains 'boot arguments' "$out" '"bootargs": "console=ttyS0 root=/dev/vda1 rw"'
expect_contains 'serial port' "$out" '"backend": "stdio"'

RAMDISK=$work/missing run bash "$script" --dry_run
expect_equal 'a missing ramdisk: exit code' "$status" 66
DISK=$work/missing run bash "$script" --dry_run
expect_equal 'a missing disk: exit code' "$status" 66
finish
