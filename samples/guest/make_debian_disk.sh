#!/usr/bin/env bash
# Makes a disk with Debian on it that firmware boots: GRUB, a kernel, systemd, and root without a password on the serial
# console. Needs root, and mmdebstrap.
#   make_debian_disk.sh <disk> [<size>]      of its file system, 2G
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || [ $# = 2 ] || usage 64
need mmdebstrap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mmdebstrap --quiet --variant=minbase --include=linux-image-cloud-amd64,systemd-sysv,grub-efi-amd64,udev \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$work/system" >"$work/log" 2>&1 ||
  die 69 "mmdebstrap: $(tail -n 1 "$work/log")"
echo 'LABEL=system / ext4 errors=remount-ro 0 1' >"$work/system/etc/fstab"
echo debian >"$work/system/etc/hostname"
sed -i 's/^root:[^:]*:/root::/' "$work/system/etc/shadow"
# What update-grub makes anew with each kernel, and its settings.
cat >>"$work/system/etc/default/grub" <<'END'
GRUB_TIMEOUT=2
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_TERMINAL=serial
END
cp -r "$work/system/usr/lib/grub/x86_64-efi" "$work/system/boot/grub/"
kernel=$(cd "$work/system/boot" && echo vmlinuz-*)
cat >"$work/system/boot/grub/grub.cfg" <<END
set timeout=2
menuentry 'Debian' {
  linux /boot/$kernel root=LABEL=system console=ttyS0
  initrd /boot/initrd.img-${kernel#vmlinuz-}
}
END
cat >"$work/grub.cfg" <<'END'
serial --unit=0
terminal_input serial
terminal_output serial
search --no-floppy --label --set=root system
set prefix=($root)/boot/grub
configfile /boot/grub/grub.cfg
END
"$guest_dir/make_efi_disk.sh" --system "$work/system" "${2:-2G}" "$1" "$work/grub.cfg"
