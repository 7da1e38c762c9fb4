#!/bin/bash
# Starts a User VM with a disk, on a Service VM of ACRN or on any host with KVM. Adapt the variables, or set them in the
# environment; arguments are passed on:
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
console=${CONSOLE:-stdio}
# ACRN: local APIC IDs, as in /proc/cpuinfo, one for each vCPU, like 2,4; KVM: host CPUs. They replace CPUS.
cpu_affinity=${CPU_AFFINITY:-}
# ACRN up to version 2 knows a VM by its UUID, later ones by its name.
uuid=${UUID:-}
# ACRN: CPUs that the Service VM gives up for good, by their numbers in it, like "2 3". Not CPU 0.
give_up_cpus=${GIVE_UP_CPUS:-}

# A comma in a path is written twice on the command line.
dm_options=(
  -m "$memory"
  -s 0:0,hostbridge
  -s 1:0,lpc
  -l "com1,$console"
  -s "9,virtio-blk,${disk//,/,,},writeback"
  -k "$kernel"
  -B "$bootargs"
  --logger_setting "console,level=3;kmsg,level=1"
)
if [ -n "$cpu_affinity" ]; then
  dm_options+=(--cpu_affinity "$cpu_affinity")
else
  dm_options+=(--cpus "$cpus")
fi
[ -z "$ramdisk" ] || dm_options+=(-r "$ramdisk")
[ -z "$uuid" ] || dm_options+=(-U "$uuid")

case $give_up_cpus in
  *[!0-9\ ]*)
    echo "GIVE_UP_CPUS='$give_up_cpus': give the CPUs' numbers, like '2 3'" >&2
    exit 64
    ;;
esac
for cpu in $give_up_cpus; do
  [ "$(cat "/sys/devices/system/cpu/cpu$cpu/online")" = 0 ] || echo "$cpu" >/sys/devices/virtual/misc/acrn_hsm/remove_cpu
done

exec "$acrn_dm" "${dm_options[@]}" "$@" -- "$vm_name"
