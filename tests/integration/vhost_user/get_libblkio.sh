#!/usr/bin/env bash
# Fetches libblkio 1.5, a library of disk drivers with one for vhost-user, and unpacks it; installs nothing and needs no
# root. Prints the folder.
#   get_libblkio.sh <folder> [<suite>]
# <suite>: the Debian release that it comes from, which need not be configured in apt; default: trixie.
# It is in <folder>/libblkio: blkio.h, libblkio.so, libblkio.so.1 and package (what it came from). If it is there already,
# nothing is fetched.
# Exit status 69: it cannot be fetched.
source "$(dirname "$0")/../../../samples/guest/lib.sh"

[ $# = 1 ] || [ $# = 2 ] || usage 64
mkdir -p "$1"
to=$(cd "$1" && pwd)/libblkio
suite=${2:-trixie}

fetch() {
  local work=$1 deb missing
  own_lists "$work" "$suite"
  : >"$work/status" # what is installed here does not count
  mkdir "$work/debs" "$work/x"
  (cd "$work/debs" && apt-get "${apt_options[@]}" -o Dir::State::status="$work/status" download libblkio1 libblkio-dev) \
    >"$work/log" 2>&1 || die 69 "cannot fetch libblkio of $suite: $(apt_reason "$work/log")"
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/x"
  done
  mv "$work/x/usr/include/blkio.h" "$work"/x/usr/lib/*/libblkio.so* "$work/new/"
  missing=$(ldd "$work/new/libblkio.so.1" 2>&1 | grep -m 1 'not found') &&
    die 69 "libblkio of $suite does not run here: ${missing#"${missing%%[![:space:]]*}"}"
  (cd "$work/debs" && printf '%s\n' *.deb) >"$work/new/package"
}
once "$to" package fetch
echo "$to"
