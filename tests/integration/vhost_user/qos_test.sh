#!/usr/bin/env bash
# QEMU's own tests of vhost-user-blk, unmodified, with acrn-dm in place of their server, qemu-storage-daemon.
#   qos_test.sh <acrn-dm> <source folder>
# The program of these tests is built from QEMU's source, which takes minutes: only if it is there already, or with
# ACRN_GUEST_FULL=1. Exit status 77 else, or when QEMU or its source cannot be fetched.
# COVERS(guest): QEMU's own tests of vhost-user-blk: requests, indirect descriptors, MSI-X, EVENT_IDX, hot-plug,
#   several queues
. "$(dirname "$0")/lib.sh"
here=$source/tests/integration

[ -e "$cache/qos/package" ] || [ "${ACRN_GUEST_FULL:-}" = 1 ] || skip "QEMU's tests are not built yet, which ACRN_GUEST_FULL=1 does"
qemu=$("$source/samples/guest/get_qemu.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
qos_test=$("$here/get_qos_test.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
# The programs make their sockets and disks here.
export TMPDIR=$work QTEST_QEMU_BINARY=$qemu QTEST_QEMU_STORAGE_DAEMON_BINARY=$here/vhost_user/storage_daemon.sh
export ACRN_QOS_DM=$acrn_dm ACRN_QOS_STARTS=$work/starts
# QEMU loads all its modules to list its devices. Those that it has not got it takes from there, of whatever version they are,
# and aborts.
alone=() modules=/usr/lib/x86_64-linux-gnu/qemu
[ ! -d $modules ] || alone=(unshare --map-root-user --mount sh -c "mount -t tmpfs none $modules && exec \"\$@\"" sh)
"${alone[@]}" "$qos_test" -l >list 2>err || skip "no list of tests: $(tail -n 1 err)"

mapfile -t paths < <(grep -E '^/.*/vhost-user-blk(-pci)?-tests/' list)
[ ${#paths[@]} -gt 0 ] || fail "$qos_test has no tests of vhost-user-blk"
for path in "${paths[@]}"; do
  before=$EPOCHREALTIME
  rm -f starts
  # They wait 30 s at most themselves, and take less than one.
  timeout -k 5 40 "${alone[@]}" "$qos_test" -p "$path" >output 2>&1
  status=$?
  if [ $status != 0 ] || ! grep -q "^ok 1 $path\$" output; then
    fail "${path##*/}: exit status $status: $(grep -v '^#' output)"
  elif grep -q 'acrn-dm: ' output; then
    fail "${path##*/}: acrn-dm says: $(grep 'acrn-dm: ' output)"
  elif [ ! -s starts ]; then
    fail "${path##*/}: acrn-dm had no part in it"
  else
    printf 'ok %s, %s ms\n' "${path##*/}" $(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
  fi
done
finish
