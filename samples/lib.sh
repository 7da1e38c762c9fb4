# Shared by the samples: source it, then call begin.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/guest/lib.sh"

step() { printf '\n== %s\n' "$*"; }

# begin <name>: builds what is missing; leaves $vm, a new folder for the VM's files with a kernel in it, and $kernel.
begin() {
  cd "$guest_dir/../.."
  step "acrn-dm, and a Debian kernel"
  need e2fsprogs
  ./bootstrap.sh --target acrn-dm --target vblk --target kvm_probe
  kernel=$(samples/guest/get_kernel.sh linux-image-cloud-amd64 "$guest_cache")
  vm=build/samples/$1
  rm -rf "$vm"
  mkdir -p "$vm"
  cp "$kernel/vmlinuz" "$vm/"
}

# initrd [<option of make_initrd.sh>...]: makes initrd.gz; stdin is the script that runs in the guest.
initrd() {
  cat >"$vm/init"
  samples/guest/make_initrd.sh "$vm/initrd.gz" --kernel "$kernel" --init "$vm/init" \
    --module virtio_pci --module virtio_blk --module ext4 "$@"
}

# file_system <image> <size> [<option of mkfs.ext4>...]: an ext4 file system that fills a new image.
file_system() {
  local image=$1 size=$2
  shift 2
  truncate -s "$size" "$vm/$image"
  mkfs.ext4 -q -E root_owner=0:0 "$@" "$vm/$image"
}

# look <image> <request>: what debugfs says about a file system; the image is not mounted.
look() { debugfs -R "$2" "$1" 2>/dev/null | cat; } # to a terminal it would start a pager

# on_host [<option of kvm_host.sh>...] -- <command...>: runs the command in $vm, on a host with KVM.
on_host() {
  local word line='' options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./:,=+@-]*) line+=" \"$word\"" ;; *) line+=" $word" ;; esac
  done
  step "${line# }"
  samples/guest/kvm_host.sh "$vm" "${options[@]}" -- "$@"
}

# in_qemu <protocol> <qemu> <its options for the disk>...: acrn-dm serves a new disk over that protocol, and a guest of QEMU
# mounts it: from a terminal with a shell ("exit" powers the guest off, Ctrl-a x ends it at once), otherwise with a small
# job. Then the disk is looked at.
in_qemu() {
  local protocol=$1 qemu=$2 job command accelerator=tcg
  shift 2
  ! samples/guest/kvm_usable.sh 2>/dev/null || accelerator=kvm
  step "a disk with one file, an initramfs with the guest's script"
  mkdir "$vm/files"
  echo "hello from the host" >"$vm/files/from_the_host"
  file_system disk.img 32M -d "$vm/files"
  # shellcheck disable=SC2016  # for the guest's shell
  job='cat from_the_host; echo "hello from Linux $(uname -r) on $(cat /sys/block/vda/serial)" >from_the_guest'
  [ ! -t 0 ] || job='ls -l; setsid cttyhack sh'
  # shellcheck disable=SC2119
  initrd <<END
dmesg | grep -E 'virtio_pci: leaving|\[vda\]'
mount /dev/vda /mnt
cd /mnt
$job
cd /
umount /mnt
END

  PATH="$PWD/build/release/dm:$PATH"
  cd "$vm"
  step "acrn-dm --serve $protocol=. -s 9,virtio-blk,disk.img,writeback vm1"
  serve "$protocol" vm1.9.0.sock -s 9,virtio-blk,disk.img,writeback vm1

  # QEMU shares the guest's memory with acrn-dm: memory-backend-memfd,share=on.
  command=("$qemu" -machine "pc,memory-backend=ram" -accel "$accelerator" -cpu max -m 256M
    -object "memory-backend-memfd,id=ram,size=256M,share=on" -nodefaults -display none -serial mon:stdio -no-reboot
    -kernel vmlinuz -initrd initrd.gz -append "console=ttyS0 quiet panic=-1" "$@")
  step "${command[*]}"
  timeout --foreground 600 "${command[@]}"

  serve_end
  cd - >/dev/null
  step "back on this host: the disk's files, and what the guest wrote"
  look "$vm/disk.img" 'ls -l /'
  look "$vm/disk.img" 'cat /from_the_guest'
}
