#!/usr/bin/env bash
# The host that the guest tests run on: this machine if its KVM can run a guest, else an emulated one.
#   host.sh start <folder> <programs' folder>...   acrn-dm and what guests need, in these folders of the build
#   host.sh run   <folder> <case.sh> [acrn|driver]   over the ACRN port: with a stand-in for ACRN and its module, or
#                                                    with Linux's own module over a stand-in for ACRN
#   host.sh stop  <folder>
# Exit status 77: something is missing that cannot be fetched; "skipped: " and what.
source "$(dirname "$0")/../../../samples/guest/lib.sh"

[ $# -ge 2 ] || usage 64
here=$(cd "$(dirname "$0")" && pwd)
verb=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
root=$folder/root state=$folder/machine
full=${ACRN_GUEST_FULL:-}

skip() {
  printf 'skipped: %s\n' "$*" | tee "$folder/skipped"
  exit 77
}
# attempt <command...>: its output, or the reason for which all tests are skipped.
attempt() {
  local why
  "$@" 2>"$folder/why" && return
  why=$(tail -n 1 "$folder/why")
  skip "$why"
}
program() { # program <name>: where the build has it
  local place
  for place in "${places[@]}"; do
    [ ! -e "$place/$1" ] || { echo "$place/$1" && return; }
  done
  die 66 "no $1 in ${places[*]}"
}
# initramfs <out> <kernel> <modules>
initramfs() {
  local module arguments=()
  for module in $3; do
    arguments+=(--module "$module")
  done
  "$guest_dir/make_initrd.sh" "$1" --kernel "$2" --init "$here/guest.init" "${arguments[@]}"
}
# another_kernel <word> <package> <modules>: <word>/{vmlinuz,base.gz}, or <word>/missing with the reason.
another_kernel() {
  local to=$root/guest/$1 kernel
  mkdir -p "$to"
  if kernel=$("$guest_dir/get_kernel.sh" "$2" "$guest_cache" 2>"$to/missing"); then
    rm "$to/missing"
    cp "$kernel/vmlinuz" "$kernel/release" "$to/"
    initramfs "$to/base.gz" "$kernel" "$3"
  fi
}

# The root of a machine of a test's own, which it may add to: $own.
copied_root() {
  own=$folder/copied
  rm -rf "$own"
  cp -al "$root" "$own"
}

case $verb in
  start)
    places=("$@")
    owner=$PPID # CTest: the machine ends with it
    rm -rf "$folder/skipped" "$folder/direct" "$root" "$folder/tools"
    (need busybox-static cpio kmod e2fsprogs dmsetup socat fio) 2>"$folder/why" || skip "$(tail -n 1 "$folder/why")"
    if "$guest_dir/kvm_usable.sh" "$(program kvm_probe)" 2>/dev/null; then
      : >"$folder/direct"
    else
      (need qemu-system-x86) 2>"$folder/why" || skip "KVM is not usable here, and there is no QEMU: $(tail -n 1 "$folder/why")"
    fi
    kernel=$("$guest_dir/get_kernel.sh" linux-image-cloud-amd64 "$guest_cache" 2>"$folder/why") ||
      skip "$(tail -n 1 "$folder/why")"

    "$guest_dir/make_root.sh" "$root" --file mkfs.ext4 --file e2fsck --file debugfs --file socat --file dmsetup \
      --file "$(program acrn-dm):/usr/bin/acrn-dm" --file "$(program kvm_probe):/usr/bin/kvm_probe" \
      --file "$(program libslow_sync.so):/guest/libslow_sync.so" \
      --file "$(program libhsm_on_kvm.so):/guest/libhsm_on_kvm.so"
    add_file "$root" "$(program tiny_vmm):/usr/bin/tiny_vmm"
    if [ -n "${ACRN_GUEST_QEMU:-}" ]; then # for boots.sh
      for part in qemu-system-x86_64 /usr/share/qemu /usr/share/seabios; do add_file "$root" "$part"; done
    fi
    # Half of them is for their debugger.
    find "$root" -name acrn-dm -o -name 'libacrn_blk.so*' | xargs strip 2>/dev/null || true
    cp "$here"/*.sh "$kernel/vmlinuz" "$root/guest/"
    mkdir -p "$root/guest/bare_metal"
    add_file "$root" "$(program host/answer):/usr/bin/answer"
    cp "$(dirname "$(program lessons.elf)")"/*.elf "$root/guest/bare_metal/"
    add_file "$root" "$(program acrn_hypervisor):/usr/bin/acrn_hypervisor"
    if [ -e "$folder/direct" ]; then
      echo "this host's kernel is not ours to change" >"$folder/no_driver"
    elif driver=$("$here/../acrn_driver/build.sh" "$kernel" 2>"$folder/no_driver"); then
      rm "$folder/no_driver"
      cp "$driver"/*.ko "$root/guest/"
    fi
    initramfs "$root/guest/base.gz" "$kernel" 'virtio_pci virtio_blk button evdev'
    attempt "$guest_dir/get_vmlinux.sh" "$kernel/vmlinuz" "$root/guest/vmlinux"
    another_kernel newer linux-image-cloud-amd64/trixie 'virtio_pci virtio_blk ext4'
    [ -z "$full" ] || another_kernel full linux-image-amd64 'virtio_pci virtio_blk ext4'

    # Another system's kernel, which begins as Multiboot says.
    mkdir "$root/guest/mach"
    if mach=$("$guest_dir/get_mach.sh" "$guest_cache" 2>"$root/guest/mach/missing"); then
      rm "$root/guest/mach/missing"
      cp "$mach" "$root/guest/mach/"
    fi

    # Firmware, and a disk that it boots.
    mkdir "$root/guest/firmware"
    if { image=$("$guest_dir/get_firmware.sh" "$guest_cache") &&
      "$guest_dir/make_efi_disk.sh" "$root/guest/firmware/disk.img" "$here/grub.cfg" "$kernel/vmlinuz"; } 2>"$root/guest/firmware/missing"; then
      rm "$root/guest/firmware/missing"
      cp "$image" "$root/guest/firmware/"
    fi

    # The programs for guests are on a disk: fio with its libraries is too much for an initramfs.
    "$guest_dir/make_root.sh" "$folder/tools" --file fio:/tools/fio --file mkfs.ext4:/tools/mkfs.ext4 \
      --file "$(program vblk_probe):/tools/vblk_probe" --file "$(program out_port):/tools/out_port"
    truncate -s $(($(du -sm "$folder/tools" | cut -f 1) * 9 / 8 + 8))M "$root/guest/tools.img"
    mkfs.ext4 -q -F -O ^has_journal -m 0 -d "$folder/tools" "$root/guest/tools.img"
    # A guest's whole system.
    "$guest_dir/make_root.sh" "$folder/system" --file "$here/system.init:/usr/sbin/init"
    truncate -s 16M "$root/guest/system.img"
    mkfs.ext4 -q -F -d "$folder/system" "$root/guest/system.img"
    rm -rf "$folder/tools" "$folder/system"

    # One processor: on two of them a guest has crashed with a timer interrupt taken twice, for a reason not found yet.
    [ -e "$folder/direct" ] || exec "$guest_dir/emulated_host.sh" start --root "$root" --state "$state" --cpus 1 \
      --memory 1536M --module loop --module dm-mod --owner "$owner"
    ;;
  run)
    [ $# -ge 1 ] || usage 64
    [ ! -e "$folder/skipped" ] || { cat "$folder/skipped" && exit 77; }
    if [ "${2:-}" = driver ] && [ -e "$folder/no_driver" ]; then
      printf "skipped: there is no ACRN driver: %s\n" "$(tail -n 1 "$folder/no_driver")"
      exit 77
    fi
    own=$root seconds=150
    if [ "$1" = debian_test.sh ]; then
      { [ ! -e "$root/guest/firmware/missing" ] || ! cp "$root/guest/firmware/missing" "$folder/why"; } &&
        debian=$("$guest_dir/get_debian_disk.sh" "$guest_cache" 2>"$folder/why") ||
        { printf 'skipped: %s\n' "$(tail -n 1 "$folder/why")" && exit 77; }
      copied_root
      cp --sparse=always "$debian" "$own/guest/"
      seconds=300
    fi
    # Firmware's disk is an image of a format, where there is a reader for it.
    if [ "$1" = firmware_test.sh ] && [ -e "$root/guest/firmware/disk.img" ] && command -v qemu-img >/dev/null &&
      command -v qemu-storage-daemon >/dev/null; then
      copied_root
      qemu-img convert -O qcow2 "$root/guest/firmware/disk.img" "$own/guest/firmware/disk.qcow2"
      for part in qemu-img qemu-storage-daemon; do add_file "$own" $part; done
    fi
    if [ -e "$folder/direct" ]; then
      export ACRN_GUEST=$own/guest ACRN_GUEST_HYPERVISOR=${2:-kvm} PATH=$own/usr/bin:$own/usr/sbin
      exec busybox sh "$here/$1"
    fi
    # QEMU's emulation ends by an assertion when a guest's guest, as this firmware, writes its task priority (CR8) while an
    # interrupt waits: 7.2 and 10.1 do. So a machine of its own, and some more.
    if [ "$1" = firmware_test.sh ] || [ "$1" = debian_test.sh ]; then
      for try in 1 2 3 4 5; do
        status=0
        "$guest_dir/emulated_host.sh" run --root "$own" --memory 1536M --timeout $seconds -- \
          env ACRN_GUEST=/guest sh "/guest/$1" >"$folder/firmware.log" 2>&1 || status=$?
        grep -q 'tcg_handle_interrupt: assertion\|bql_locked' "$folder/firmware.log" || break
        echo "QEMU has ended by its assertion ($try)"
        [ $try -lt 5 ] || { echo 'skipped: QEMU ends by an assertion each time' && exit 77; }
      done
      cat "$folder/firmware.log"
      exit $status
    fi
    # The ACRN port's RAM is fast in huge pages: two guests' worth.
    pages=0
    case ${2:-kvm} in kvm | qemu) ;; *) pages=280 ;; esac
    "$guest_dir/emulated_host.sh" exec --state "$state" --timeout 150 -- \
      "echo $pages >/proc/sys/vm/nr_hugepages; ACRN_GUEST=/guest ACRN_GUEST_HYPERVISOR=${2:-kvm} exec sh /guest/$1"
    ;;
  stop)
    "$guest_dir/emulated_host.sh" stop --state "$state"
    rm -rf "$root" "$folder/copied"
    ;;
  *) usage 64 ;;
esac
