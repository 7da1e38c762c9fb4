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
  own_lists "$work" forky
  mkdir -p "$work/x"
  (cd "$work" && apt-get "${apt_options[@]}" download cloudhv-efi-x86-64) >"$work/log" 2>&1 ||
    die 69 "cannot fetch cloudhv-efi-x86-64: $(apt_reason "$work/log")"
  dpkg -x "$work"/*.deb "$work/x"
  find "$work/x" -name CLOUDHV.fd -exec mv {} "$work/new/" \;
  [ -e "$work/new/CLOUDHV.fd" ] || die 69 "cloudhv-efi-x86-64 has no CLOUDHV.fd in it"
}
once "$to" CLOUDHV.fd fetch
echo "$to/CLOUDHV.fd"
