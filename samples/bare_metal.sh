#!/usr/bin/env bash
# A driver without a kernel: boots a kernel of samples/bare_metal in a machine of QEMU's, with a disk that acrn-dm serves,
# and shows what either of them says. Needs neither KVM nor root.
#   bare_metal.sh [lessons | one_descriptor | every_head | wrong_address | used_index | mailbox | ring]
source "$(dirname "$0")/lib.sh"
name=${1:-lessons}
cd "$guest_dir/../.."
step "acrn-dm, a QEMU that takes its disks, $name.elf"
./bootstrap.sh --target acrn-dm --target "$name.elf" --target answer
qemu=$(samples/guest/get_qemu.sh "$guest_cache")
vm=build/samples/bare_metal
rm -rf "$vm"
mkdir -p "$vm"
truncate -s 64M "$vm/disk.img"
PATH="$PWD/build/release/dm:$PATH"
kernels=$PWD/build/release/samples/bare_metal
cd "$vm"
step "acrn-dm --serve vfio-user=. -s 9,virtio-blk,disk.img,writeback vm1"
serve vfio-user vm1.9.0.sock -s 9,virtio-blk,disk.img,writeback vm1

case $name in
  mailbox | ring)
    step "answer disk.img $name"
    "$kernels/host/answer" disk.img "$name" &
    answer=$!
    trap 'kill "$server" "$answer" 2>/dev/null || true' EXIT
    ;;
esac

command=("$qemu" -machine "pc,memory-backend=ram" -accel tcg -m 256M -object "memory-backend-memfd,id=ram,size=256M,share=on"
  -nodefaults -display none -serial stdio -no-reboot -kernel "$kernels/$name.elf" -device isa-debug-exit,iobase=0xf4,iosize=1
  -device '{"driver":"vfio-user-pci","socket":{"path":"vm1.9.0.sock","type":"unix"},"addr":"09.0"}')
step "${command[*]}"
status=0
timeout --foreground 120 "${command[@]}" || status=$?
[ -z "${answer:-}" ] || kill "$answer"
serve_end
[ "$status" = 33 ] || die 1 "exit status $status, where 33 says that all is well"
