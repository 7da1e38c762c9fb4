#!/bin/bash
# The sample launch script starts what it says, and the unit starts the script.
# usage: launch_script_test.sh <acrn-dm> <launch_user_vm.sh>
. "$(dirname "$0")/lib.sh"
export ACRN_DM=$1
script=$2

export DISK="$work/a, disk.img" KERNEL="$work/vmlinuz"
truncate -s 1M "$DISK"
bzimage "$KERNEL"

run bash "$script" --dry_run
expect_equal 'exit code' "$status" 0
expect_contains 'disk' "$out" "\"source\": \"$DISK\""
expect_contains 'cache' "$out" '"cache": "writeback"'
expect_contains 'memory' "$out" '"memory_bytes": 536870912'
expect_contains 'kernel' "$out" "\"kernel\": \"$KERNEL\""
expect_contains 'boot arguments' "$out" '"bootargs": "console=ttyS0 root=/dev/vda1 rw"'
expect_contains 'serial port' "$out" '"backend": "stdio"'

CPU_AFFINITY=0 UUID=615db82a-e189-4b4f-8dbb-d321343e4ab3 CONSOLE=/dev/null MEMORY=1G run bash "$script" --dry_run
expect_equal 'with more variables: exit code' "$status" 0
expect_contains 'CPUs' "$out" '"cpu_affinity": ['
expect_contains 'UUID' "$out" '"uuid": "615db82a-e189-4b4f-8dbb-d321343e4ab3"'
expect_contains 'console' "$out" '"backend": "/dev/null"'
expect_contains 'more memory' "$out" '"memory_bytes": 1073741824'

GIVE_UP_CPUS='2 *' run bash "$script" --dry_run
expect_equal 'CPUs that are none: exit code' "$status" 64
expect_contains 'CPUs that are none' "$err" "GIVE_UP_CPUS='2 *': give the CPUs' numbers"
VM_NAME=--version run bash "$script" --dry_run
expect_contains 'a name like an option' "$out" '"name": "--version"'
RAMDISK=$work/missing run bash "$script" --dry_run
expect_equal 'a missing ramdisk: exit code' "$status" 66
DISK=$work/missing run bash "$script" --dry_run
expect_equal 'a missing disk: exit code' "$status" 66

unit=$(dirname "$script")/acrn-dm@.service
mkdir -p "$work"/prefix/{bin,share/acrn-dm} "$work/run/acrn-dm/vm1" # the last one is systemd's to make
cp "$ACRN_DM" "$work/prefix/bin/acrn-dm"
cp "$script" "$work/prefix/share/acrn-dm/"
command=$(sed -n "s/^ExecStart=\/bin\/sh -c '\(.*\)'$/\1/p" "$unit" | sed 's/\$\$/$/g; s/%i/vm1/g' | sed "s|/run/acrn-dm|$work&|")
VM_NAME=vm1 ACRN_DM='' PATH="$work/prefix/bin:$PATH" run sh -c "$command --dry_run"
expect_equal "what the unit starts: $err" "$status" 0
expect_contains 'what the unit starts' "$out" '/run/acrn-dm/vm1/control.sock"'
if command -v systemd-analyze >/dev/null; then
  cp "$unit" "$work/acrn-dm@vm1.service"
  run systemd-analyze verify --man=no "$work/acrn-dm@vm1.service"
  expect_equal "the unit, by systemd: $err" "$status" 0
  sed "s|^ExecStart=acrn-dm|ExecStart=$work/prefix/bin/acrn-dm|" "$(dirname "$script")/acrn-dm-serve@.service" >"$work/acrn-dm-serve@vm1.service"
  run systemd-analyze verify --man=no "$work/acrn-dm-serve@vm1.service"
  expect_equal "the unit of a server, by systemd: $err" "$status" 0
  expect_equal "the unit of a server, by systemd" "$err" ''
else
  echo 'systemd has not looked at the unit: there is no systemd-analyze here'
fi
if command -v apparmor_parser >/dev/null; then
  run apparmor_parser -QK "$(dirname "$script")/apparmor/acrn-dm"
  expect_equal "the profile, by AppArmor: $err" "$status" 0
else
  echo 'AppArmor has not looked at the profile: there is no apparmor_parser here'
fi
finish
