#!/usr/bin/env bash
# acrn-dm and QEMU's own legacy virtio-blk side by side: the same kernel, initramfs and image, in turn, in one emulated
# host. Prints the medians of seconds to user space and of fio's requests per second, and their ratio.
#   guest_bench.sh [rounds]        default: 3, about a minute each
set -euo pipefail
cd "$(dirname "$0")/.."
source samples/guest/lib.sh
rounds=${1:-3}
./bootstrap.sh --target acrn-dm
need qemu-system-x86 seabios fio

vm=$PWD/build/samples/guest_bench
rm -rf "$vm"
mkdir -p "$vm/files"
kernel=$(samples/guest/get_kernel.sh linux-image-cloud-amd64 build/guest)
cat >"$vm/init" <<'END'
echo "RESULT boot_seconds $(cut -d ' ' -f 1 /proc/uptime)"
for job in randread:4k:16 randread:4k:1 randwrite:4k:16 read:64k:4 write:64k:4 read:1m:2; do
  IFS=: read -r rw bs qd <<JOB
$job
JOB
  case $rw in *read) field=8 ;; *) field=49 ;; esac
  echo "RESULT $job $(fio --name=x --filename=/dev/vda --rw=$rw --bs=$bs --iodepth=$qd --ioengine=libaio --direct=1 \
    --runtime=2 --time_based --minimal 2>/dev/null | cut -d ';' -f $field)"
done
END
samples/guest/make_initrd.sh "$vm/files/initrd.gz" --kernel "$kernel" --init "$vm/init" --module virtio_pci --module virtio_blk \
  --file fio
cp "$kernel/vmlinuz" "$vm/files/"
truncate -s 256M "$vm/files/disk.img"
cat >"$vm/files/run" <<'END'
dd if=/dev/urandom of=disk.img bs=1M count=64 conv=notrunc 2>/dev/null
for i in $(seq "$1"); do
  acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" -l com1,stdio -s 9,virtio-blk,disk.img,writeback vm1 \
    </dev/null 2>&1 | sed -n 's/RESULT/acrn-dm/p'
  qemu-system-x86_64 -M pc -accel kvm -cpu host -m 256M -nodefaults -display none -serial stdio -no-reboot \
    -kernel vmlinuz -initrd initrd.gz -append "console=ttyS0 quiet" \
    -drive file=disk.img,format=raw,if=none,id=disk,cache=writeback,aio=threads \
    -device virtio-blk-pci,drive=disk,disable-modern=on,disable-legacy=off </dev/null 2>&1 | sed -n 's/RESULT/qemu/p'
done
END
samples/guest/make_root.sh "$vm/root" --file build/release/dm/acrn-dm:/usr/bin/acrn-dm --file qemu-system-x86_64 \
  --file /usr/share/seabios --file /usr/share/qemu/linuxboot_dma.bin --file /usr/share/qemu/kvmvapic.bin --file "$vm/files:/vm"
cp -L /usr/share/seabios/bios-256k.bin "$vm/root/usr/share/qemu/"
strip "$vm/root/usr/bin/acrn-dm"

samples/guest/emulated_host.sh run --memory 2G --timeout $((rounds * 150)) --root "$vm/root" -- sh -c "cd /vm && sh run $rounds" |
  tr -d '\r' | tee "$vm/results"
awk -v first=acrn-dm -v second=qemu -f samples/medians.awk "$vm/results"
