#!/usr/bin/env bash
# Fetches Debian's U-Boot for QEMU's PC; installs nothing and needs no root. Prints its path.
#   get_uboot.sh <folder>
# Exit status 69: the package cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/uboot

fetch() {
  local work=$1
  fetch_package "$work" u-boot-qemu
  mv "$work/x/usr/lib/u-boot/qemu-x86/u-boot.rom" "$work/new/" || die 69 'u-boot-qemu has no u-boot.rom for a PC'
}
once "$to" u-boot.rom fetch
echo "$to/u-boot.rom"
