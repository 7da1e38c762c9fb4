#!/usr/bin/env bash
# Fetches firmware that acrn-dm can run, Debian's CLOUDHV.fd (edk2); installs nothing and needs no root. Prints its path.
#   get_firmware.sh <folder>
# Exit status 69: the package cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# = 1 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/cloudhv

fetch() {
  local work=$1
  fetch_package "$work" cloudhv-efi-x86-64 forky
  find "$work/x" -name CLOUDHV.fd -exec mv {} "$work/new/" \;
  [ -e "$work/new/CLOUDHV.fd" ] || die 69 "cloudhv-efi-x86-64 has no CLOUDHV.fd in it"
}
once "$to" CLOUDHV.fd fetch
echo "$to/CLOUDHV.fd"
