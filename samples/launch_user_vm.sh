#!/bin/bash
# Starts a User VM with a disk. Adapt the variables, or set them in the environment; arguments are passed on:
#   ./launch_user_vm.sh --dry_run        shows what would be started
# A distribution's kernel has its disk driver in its ramdisk: set RAMDISK too. A disk without partitions has its root
# file system on /dev/vda: set BOOTARGS.
set -eu

vm_name=${VM_NAME:-POST_STD_VM1}
acrn_dm=${ACRN_DM:-acrn-dm}
memory=${MEMORY:-512M}
cpus=${CPUS:-1}
disk=${DISK:-/var/lib/acrn/$vm_name.img}
kernel=${KERNEL:-/boot/vmlinuz}
ramdisk=${RAMDISK:-}
bootargs=${BOOTARGS:-console=ttyS0 root=/dev/vda1 rw}

# A comma in a path is written twice on the command line.
dm_options=(
  -m "$memory"
  --cpus "$cpus"
  -s 0:0,hostbridge
  -s 1:0,lpc
  -l com1,stdio
  -s "9,virtio-blk,${disk//,/,,},writeback"
  -k "$kernel"
  -B "$bootargs"
  --logger_setting "console,level=3;kmsg,level=1"
)
if [ -n "$ramdisk" ]; then
  dm_options+=(-r "$ramdisk")
fi

exec "$acrn_dm" "${dm_options[@]}" "$@" "$vm_name"
