#!/usr/bin/env bash
# Makes a disk that firmware boots: GPT, and an EFI system partition with GRUB and what it reads; installs nothing.
#   make_efi_disk.sh [--system <folder> <size>] <disk> <grub.cfg> [<file>[:<name in the partition>]]...
# GRUB's $root is that partition. --system: a second one of that size, like 2G, labelled "system", with what is in the
# folder. Needs grub-efi-amd64-bin, mtools, dosfstools, fdisk and e2fsprogs. Exit status 69: they cannot be installed.
source "$(dirname "$0")/lib.sh"

system='' size=0
if [ "${1:-}" = --system ] && [ $# -ge 3 ]; then
  system=$2 size=$(numfmt --from=iec "$3")
  shift 3
fi
[ $# -ge 2 ] || usage 64
disk=$1 configuration=$2
shift 2
need grub-efi-amd64-bin grub-common mtools dosfstools fdisk e2fsprogs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'search --no-floppy --set=root --file /EFI/BOOT/grub.cfg\nconfigfile /EFI/BOOT/grub.cfg\n' >"$work/first.cfg"
grub-mkimage -O x86_64-efi -p /EFI/BOOT -c "$work/first.cfg" -o "$work/BOOTX64.EFI" part_gpt fat ext2 search \
  search_fs_file search_label configfile gzio minicmd normal linux serial terminal echo boot reboot halt test

room=$(stat -L -c %s "$work/BOOTX64.EFI" "${@%%:*}" | awk '{ sum += $1 } END { print int(sum / 1048576) + 8 }')
truncate -s "$((room < 34 ? 34 : room))M" "$work/esp"
mkfs.vfat -F 32 "$work/esp" >/dev/null
mmd -i "$work/esp" ::/EFI ::/EFI/BOOT
mcopy -i "$work/esp" "$work/BOOTX64.EFI" "$configuration" ::/EFI/BOOT/
[ "$(basename "$configuration")" = grub.cfg ] || mren -i "$work/esp" "::/EFI/BOOT/$(basename "$configuration")" grub.cfg
for file; do
  path=${file#*:}
  mcopy -i "$work/esp" "${file%%:*}" "::/${path##*/}"
done
rm -f "$disk"
esp=$(stat -c %s "$work/esp")
truncate -s "$((esp + size + (2 << 20)))" "$disk"
{
  printf 'label: gpt\nstart=1MiB, size=%sKiB, type=uefi\n' "$((esp >> 10))"
  [ -z "$system" ] || printf 'size=%sKiB, type=linux\n' "$((size >> 10))"
} | sfdisk -q "$disk"
dd if="$work/esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
[ -z "$system" ] || mkfs.ext4 -q -F -L system -d "$system" -E "offset=$((esp + (1 << 20)))" "$disk" "$((size >> 10))"
