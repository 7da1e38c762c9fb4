#!/usr/bin/env bash
# Fetches a QEMU that is a vfio-user client (10.1 or later), with its libraries, SeaBIOS and OVMF, and unpacks it; installs
# nothing and needs no root. Prints the path of a program that runs it.
#   get_qemu.sh <folder> [<suite>...]
# <suite>: the Debian releases that it comes from, the one with QEMU last; default: trixie trixie-backports.
# They need not be configured in apt. QEMU is in <folder>/qemu: qemu-system-x86_64 and package (what it came from). If it is
# there already, nothing is fetched: delete the folder for a newer one.
# Exit status 69: it cannot be fetched.
source "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || usage 64
case $1 in -*) usage 64 ;; esac
mkdir -p "$1"
to=$(cd "$1" && pwd)/qemu
shift
[ $# -gt 0 ] || set -- trixie trixie-backports
suites=("$@")

fetch() {
  local work=$1 version deb
  own_lists "$work" "${suites[@]}"
  : >"$work/status" # nothing counts as installed: C library and all
  apt_options+=(-o Dir::State::status="$work/status" -t "${suites[-1]}")
  version=$(apt-cache "${apt_options[@]}" policy qemu-system-x86 | sed -nE 's/^ *Candidate: ([0-9]+:)?//p')
  dpkg --compare-versions "${version:-0}" ge 10.1 ||
    die 69 "${suites[*]} has QEMU ${version:-of no version}, and vfio-user needs 10.1"
  apt-get "${apt_options[@]}" install -y --no-install-recommends --download-only qemu-system-x86 ovmf >"$work/log" 2>&1 ||
    die 69 "cannot fetch QEMU $version: $(apt_reason "$work/log")"
  mkdir "$work/x"
  for deb in "$work"/apt/cache/archives/*.deb; do
    dpkg -x "$deb" "$work/x"
  done
  mkdir -p "$work"/new/usr/{bin,share}
  mv "$work/x/usr/bin/qemu-system-x86_64" "$work/new/usr/bin/"
  mv "$work"/x/usr/{lib,lib64} "$work/new/usr/"
  mv "$work"/x/usr/share/{qemu,seabios,ovmf} "$work/new/usr/share/"
  # Its own loader and libraries, and the machine's paths.
  cat >"$work/new/qemu-system-x86_64" <<'END'
#!/bin/sh
usr=$(dirname "$(realpath "$0")")/usr
QEMU_MODULE_DIR=$usr/lib/x86_64-linux-gnu/qemu exec "$usr/lib64/ld-linux-x86-64.so.2" --inhibit-cache \
  --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/qemu-system-x86_64" -L "$usr/share/qemu" -L "$usr/share/seabios" "$@"
END
  chmod 755 "$work/new/qemu-system-x86_64"
  "$work/new/qemu-system-x86_64" -device vfio-user-pci,help >"$work/log" 2>&1 ||
    die 69 "QEMU $version does not run here: $(tail -n 1 "$work/log")"
  (cd "$work/apt/cache/archives" && printf '%s\n' *.deb) >"$work/new/package"
}
once "$to" package fetch
echo "$to/qemu-system-x86_64"
