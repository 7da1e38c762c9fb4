#!/usr/bin/env bash
# A disk over vfio-user and QEMU's own legacy virtio-blk side by side: in one emulated guest of one QEMU (10.1 or later, it is
# fetched), on images of the same size and kind, in turn. Prints the medians of fio's KiB/s, and their ratio.
#   qemu_bench.sh [rounds]        default: 3, half a minute each
source "$(dirname "$0")/guest/lib.sh"
cd "$guest_dir/../.."
rounds=${1:-3}
./bootstrap.sh --target acrn-dm
need fio
qemu=$(samples/guest/get_qemu.sh "$guest_cache")
kernel=$(samples/guest/get_kernel.sh linux-image-cloud-amd64 "$guest_cache")

vm=build/samples/qemu_bench
rm -rf "$vm"
mkdir -p "$vm"
cat >"$vm/init" <<END
rounds=$rounds
END
cat >>"$vm/init" <<'END'
for i in $(seq $rounds); do
  for job in read:4k:16 read:64k:4 read:1m:2 randread:4k:16 randread:64k:4 randread:1m:2 \
    write:4k:16 write:64k:4 write:1m:2 randwrite:4k:16 randwrite:64k:4 randwrite:1m:2; do
    IFS=: read -r rw bs qd <<JOB
$job
JOB
    case $rw in *read) field=7 ;; *) field=48 ;; esac
    for disk in vda vdb; do
      echo "RESULT $(cat /sys/block/$disk/serial) $job $(fio --name=x --filename=/dev/$disk --rw=$rw --bs=$bs --iodepth=$qd \
        --ioengine=libaio --direct=1 --runtime=1 --time_based --size=64M --minimal 2>/dev/null | cut -d ';' -f $field)"
    done
  done
done
END
samples/guest/make_initrd.sh "$vm/initrd.gz" --kernel "$kernel" --init "$vm/init" --module virtio_pci --module virtio_blk --file fio
PATH="$PWD/build/release/dm:$PATH"
medians=$PWD/samples/medians.awk
cd "$vm"
for image in vfio.img qemu.img; do
  dd if=/dev/urandom of=$image bs=1M count=64 2>/dev/null
done

serve vfio-user vm1.9.0.sock -s 9,virtio-blk,vfio.img,writeback,serial=vfio-user vm1
timeout $((60 + rounds * 60)) "$qemu" -machine pc,memory-backend=ram -accel tcg -cpu max -m 512M \
  -object memory-backend-memfd,id=ram,size=512M,share=on -nodefaults -display none -serial stdio -no-reboot \
  -kernel "$kernel/vmlinuz" -initrd initrd.gz -append "console=ttyS0 quiet panic=-1" \
  -device '{"driver":"vfio-user-pci","socket":{"path":"vm1.9.0.sock","type":"unix"},"addr":"09.0"}' \
  -drive file=qemu.img,format=raw,if=none,id=disk,cache=writeback,aio=threads \
  -device virtio-blk-pci,drive=disk,addr=0a.0,disable-modern=on,disable-legacy=off,serial=qemu </dev/null |
  tr -d '\r' | sed -n 's/^RESULT //p' | tee results
serve_end
awk -v first=vfio-user -v second=qemu -f "$medians" results
