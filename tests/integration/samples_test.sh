#!/bin/bash
# A sample runs as it is, without a terminal, and its last lines say what the guest did.
# usage: samples_test.sh <folder of samples> <sample>
. "$(dirname "$0")/lib.sh"
folder=$1 sample=$2
if [ "$sample" = debian_guest ] && [ "${ACRN_GUEST_FULL:-}" != 1 ]; then
  echo "skipped: makes a Debian system; ACRN_GUEST_FULL=1 runs it"
  exit 77
fi

timeout -k 5 600 "$folder/$sample.sh" >"$work/stdout" 2>"$work/stderr" </dev/null
status=$?
if [ "$status" = 69 ]; then
  echo "skipped: $(tail -n 1 "$work/stderr")"
  exit 77
fi
cat "$work/stdout" "$work/stderr"
expect_equal 'exit status' "$status" 0
# What comes after the guest, on the host.
out=$(sed -n '/^== back on this host/,$p' "$work/stdout")

case $sample in
  first_boot) expect_contains 'the file' "$(tail -n 1 "$work/stdout")" 'hello from Linux' ;;
  single_disk) expect_contains 'the file' "$out" 'hello from Linux' ;;
  two_disks)
    expect_contains 'cmp' "$out" 'from.img and to.img are equal'
    expect_contains 'the order of the disks' "$(tr '\r\n' '  ' <"$work/stdout")" 'vda is 0000:00:09.0, FROM  vdb is 0000:00:0a.0, TO'
    ;;
  read_only_root)
    expect_contains 'the root' "$out" 'root.img is unchanged'
    expect_contains 'the overlay' "$out" 'changed in the guest'
    ;;
  range_halves)
    expect_equal 'the halves' "$(printf '%s\n' "$out" | grep -c '^left was here')$(printf '%s\n' "$out" | grep -c '^right was here')" 88
    ;;
  debian_guest)
    expect_contains 'dpkg' "$out" 'Status: install ok installed'
    expect_contains 'the program' "$out" 'Hello, world!'
    ;;
  qemu_vfio_user | qemu_vhost_user | uml_vhost_user) expect_contains 'the file' "$out" 'hello from Linux' ;;
  bare_metal) expect_equal 'the last line' "$(tail -n 1 "$work/stdout" | tr -d '\r')" 'all is well' ;;
  *) fail "no sample '$sample'" ;;
esac
finish
