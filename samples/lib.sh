# Shared by the samples: source it, then call begin.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/guest/lib.sh"

step() { printf '\n== %s\n' "$*"; }

# begin <name>: builds what is missing; leaves $vm, a new folder for the VM's files with a kernel in it, and $kernel.
begin() {
  cd "$guest_dir/../.."
  step "acrn-dm, and a Debian kernel"
  need e2fsprogs
  ./bootstrap.sh --target acrn-dm --target kvm_probe
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
