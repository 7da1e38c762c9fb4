#!/usr/bin/env bash
# Fetches QEMU's source package and builds nothing of it but qos-test, its tests of emulated devices. Prints the program.
#   get_qos_test.sh <folder> [<suite>...]
# <suite>: the Debian releases that the source may come from; the last one that can be had is taken, and Meson comes from the
# first. Default: trixie trixie-backports. They need not be configured in apt. It is in <folder>/qos: qos-test and package
# (what it came from). If it is there already, nothing is fetched: delete the folder for a newer one. Takes 500 MB while it
# builds and about three minutes.
# Exit status 69: it cannot be fetched or built.
source "$(dirname "$0")/../../samples/guest/lib.sh"

[ $# -ge 1 ] || usage 64
case $1 in -*) usage 64 ;; esac
mkdir -p "$1"
to=$(cd "$1" && pwd)/qos
shift
suites=("$@")
[ $# -gt 0 ] || suites=(trixie trixie-backports)

# The source package of the last suite whose files the mirror has: lists may name what it does not keep.
fetch_source() {
  local work=$1 i
  mkdir "$work/package"
  for ((i = ${#suites[@]} - 1; i >= 0; --i)); do
    (cd "$work/package" && apt-get "${apt_options[@]}" source --download-only "qemu/${suites[i]}") >"$work/log" 2>&1 && return
    say "${suites[i]}: no source of QEMU: $(apt_reason "$work/log")"
    rm -f "$work/package/"*
  done
  die 69 "cannot fetch QEMU's source from ${suites[*]}: $(apt_reason "$work/log")"
}

build() {
  local work=$1
  # shellcheck disable=SC2034  # for own_lists
  local apt_types='deb deb-src'
  need dpkg-dev gcc libc6-dev make pkg-config ninja-build libglib2.0-dev python3-minimal python3-venv
  own_lists "$work" "${suites[@]}"
  fetch_source "$work"
  # QEMU wants a newer Meson than Debian 12 has; it is Python only, so it runs without being installed.
  (cd "$work" && apt-get "${apt_options[@]}" download "meson/${suites[0]}") >"$work/log" 2>&1 ||
    die 69 "cannot fetch meson from ${suites[0]}: $(apt_reason "$work/log")"
  dpkg -x "$work"/meson_*.deb "$work/meson"
  export PATH="$work/meson/usr/bin:$PATH" PYTHONPATH="$work/meson/usr/lib/python3/dist-packages"

  (
    cd "$work"
    dpkg-source --no-check -x package/*.dsc qemu # apt has checked it
    mkdir qemu/build
    cd qemu/build
    # The target and what there is of vhost-user decide which tests there are, not what is built.
    nice -n 19 ../configure --python=/usr/bin/python3 --target-list=x86_64-softmmu --without-default-features --without-default-devices \
      --disable-download --disable-install-blobs --enable-tools --enable-vhost-user --enable-vhost-user-blk-server --disable-user
    nice -n 19 ninja -j "$(nproc | awk '{ print $1 < 2 ? $1 : 2 }')" tests/qtest/qos-test
  ) >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    die 69 "cannot build qos-test: $(grep -m 1 -E 'ERROR|error:|FAILED' "$work/log" || echo 'no reason given')"
  }
  cp "$work/qemu/build/tests/qtest/qos-test" "$work/new/"
  (cd "$work/package" && printf '%s\n' *.dsc) >"$work/new/package"
}
once "$to" package build
echo "$to/qos-test"
