#!/usr/bin/env bash
# Builds Linux's own ACRN driver (drivers/virt/acrn) for the kernel of an emulated host, with its hypercalls taken to
# acrn_hypercalls.c. Prints the folder with acrn.ko and acrn_hypercalls.ko. Installs nothing but make and gcc.
#   build.sh <folder of get_kernel.sh>
# The driver's source is Debian's, of the same series; it is built as it is, and not kept here. Exit status 69: something
# cannot be fetched.
source "$(dirname "$0")/../../../samples/guest/lib.sh"

[ $# = 1 ] || usage 64
here=$(cd "$(dirname "$0")" && pwd)
release=$(cat "$1/release")
series=$(echo "$release" | cut -d . -f 1,2)
[[ $series =~ ^[0-9]+\.[0-9]+$ ]] || die 66 "'$1' is not a folder of get_kernel.sh"
gcc=gcc-12
need make $gcc xz-utils

# What the driver's source is for is the series; headers are the kernel's own.
fetch_source() {
  local work=$1
  (cd "$work" && apt-get "${apt_options[@]}" download "linux-source-$series") >"$work/log" 2>&1 ||
    die 69 "cannot fetch linux-source-$series: $(apt_reason "$work/log")"
  dpkg -x "$work"/*.deb "$work/x"
  tar -xJf "$work/x/usr/src/linux-source-$series.tar.xz" -C "$work/new" --strip-components 4 \
    --wildcards "linux-source-$series/drivers/virt/acrn/*"
}
fetch_headers() {
  local work=$1 headers common=linux-headers-${release%-cloud-amd64}-common
  (cd "$work" && apt-get "${apt_options[@]}" download "linux-headers-$release" "$common" "linux-kbuild-$series") >"$work/log" 2>&1 ||
    die 69 "cannot fetch linux-headers-$release: $(apt_reason "$work/log")"
  for deb in "$work"/*.deb; do
    dpkg -x "$deb" "$work/new"
  done
  headers=$work/new/usr/src/linux-headers-$release
  [ -e "$headers/Makefile" ] || die 69 "linux-headers-$release has no Makefile"
  echo "include \$(dir \$(lastword \$(MAKEFILE_LIST)))../$common/Makefile" >"$headers/Makefile"
}

mkdir -p "$guest_cache"
source=$guest_cache/acrn_driver-$series headers=$guest_cache/linux-headers-$release
once "$source" hsm.c fetch_source
once "$headers" "usr/src/linux-headers-$release/Makefile" fetch_headers

out=$guest_cache/acrn_module-$release
build() {
  local work=$1
  cp "$source"/*.[ch] "$here"/acrn_hypercalls.[ch] "$here/without_acrn.h" "$here/Kbuild" "$work/new/"
  make -C "$headers/usr/src/linux-headers-$release" M="$work/new" CC=$gcc modules >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    die 70 "the driver does not build"
  }
  strip -g "$work"/new/*.ko
  find "$work/new" ! -name '*.ko' -type f -delete
}
for file in acrn_hypercalls.c acrn_hypercalls.h without_acrn.h Kbuild build.sh; do
  [ ! "$here/$file" -nt "$out/acrn.ko" ] || rm -f "$out/acrn.ko"
done
once "$out" acrn.ko build
echo "$out"
