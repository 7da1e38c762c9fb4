#!/usr/bin/env bash
# Fetches Debian's GNU Mach, a kernel for Multiboot; installs nothing and needs no root. Prints its path.
#   get_mach.sh <folder>
# Exit status 69: the package cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/mach package=gnumach-image-1.8-486

fetch() {
  local work=$1
  fetch_package "$work" $package
  gzip -dc "$work"/x/boot/gnumach-*.gz >"$work/new/gnumach" || die 69 "$package has no kernel in it"
}
once "$to" gnumach fetch
echo "$to/gnumach"
