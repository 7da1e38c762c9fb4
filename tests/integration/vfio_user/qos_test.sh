#!/usr/bin/env bash
# QEMU's own tests of virtio-blk-pci, unmodified, against functions that acrn-dm serves to an unmodified QEMU (qemu_for_qos).
#   qos_test.sh <acrn-dm>
# The program of these tests is built from QEMU's source, which takes minutes: only if it is there already, or with
# ACRN_GUEST_FULL=1. Exit status 77 else, or when QEMU or its source cannot be fetched.
# COVERS(guest): QEMU's own tests of a legacy virtio-blk-pci: requests, ANY_LAYOUT, DISCARD, WRITE_ZEROES, indirect
#   descriptors, MSI-X, EVENT_IDX, resize, hot-plug
source "$(dirname "$0")/../lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
samples=$here/../../../samples/guest
cache=${ACRN_GUEST_CACHE:-$here/../../../build/guest}
skip() {
  echo "skipped: $*"
  exit 77
}

[ -e "$cache/qos/package" ] || [ "${ACRN_GUEST_FULL:-}" = 1 ] || skip "QEMU's tests are not built yet, which ACRN_GUEST_FULL=1 does"
qemu=$("$samples/get_qemu.sh" "$cache" 2>"$work/why") || skip "$(tail -n 1 "$work/why")"
qos_test=$("$here/../get_qos_test.sh" "$cache" 2>"$work/why") || skip "$(tail -n 1 "$work/why")"
# libqtest learns the architecture from this name.
ln -s "$here/qemu_for_qos" "$work/qos-system-x86_64"
export TMPDIR="$work" QTEST_QEMU_BINARY="$work/qos-system-x86_64" ACRN_QOS_QEMU="$qemu" ACRN_QOS_STATS="$work/stats"
ACRN_QOS_DM=$(realpath "$1")
export ACRN_QOS_DM
# QEMU loads all its modules to list its devices. Those that it has not got it takes from there, of whatever version they are,
# and aborts.
alone=() modules=/usr/lib/x86_64-linux-gnu/qemu
[ ! -d $modules ] || alone=(unshare --map-root-user --mount sh -c "mount -t tmpfs none $modules && exec \"\$@\"" sh)
"${alone[@]}" "$qos_test" -l >"$work/list" 2>"$work/err" || skip "no list of tests: $(tail -n 1 "$work/err")"

# passes <test>: output in "output".
passes() {
  local path before=$EPOCHREALTIME
  path=$(grep -m 1 "^/x86_64/pc/.*/virtio-blk-pci/.*-tests/$1\$" "$work/list") || { echo 'no such test' >"$work/output" && return 1; }
  rm -f "$ACRN_QOS_STATS"
  timeout -k 5 60 "${alone[@]}" "$qos_test" -p "$path" >"$work/output" 2>&1 && grep -q "^ok 1 $path\$" "$work/output" || return
  [ -s "$ACRN_QOS_STATS" ] || { echo 'acrn-dm had no part in it' >>"$work/output" && return 1; }
  printf 'ok %s, %s ms\n' "$1" $(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
}
reason() { grep -vE '^#|-mon. is deprecated' "$work/output"; }

for test in basic indirect config msix idx nxvirtq resize; do
  passes $test || fail "$test: $(reason)"
done
# QEMU 11.1 aborts when a vfio-user-pci with MSI-X is unplugged, with any server.
ACRN_QOS_OPTIONS=--virtio_msi passes hotplug || fail "hotplug: $(reason)"
finish
