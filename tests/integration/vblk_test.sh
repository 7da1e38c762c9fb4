#!/bin/bash
# What vblk prints for people fits a terminal, and a closed standard descriptor is nothing to it.
# usage: vblk_test.sh <vblk>
. "$(dirname "$0")/lib.sh"
vblk=$1
cd "$work" || exit 1
truncate -s 4M disk.img copy.img

# page <what> <command...>: no line is wider than 80 columns, and none is JSON
page() {
  local what=$1
  shift
  run "$vblk" "$@"
  expect_equal "$what: exit code" "$status" 0
  expect_equal "$what: stderr" "$err" ''
  expect_equal "$what: wide lines" "$(awk 'length($0) > 80' <<<"$out")" ''
  case $out in
    *'{"'* | *'[{'*) fail "$what: JSON in a page for people: $out" ;;
  esac
}
page info info -s 3,virtio-blk,disk.img,discard
expect_contains info "$out" '  bar 0              io, 128 bytes at 0x2000'
expect_contains info "$out" '  geometry           0 cylinders, 255 heads, 63 sectors'
expect_contains info "$out" '  discard            up to 32 segments of 4194304 sectors, aligned to '
page 'info of nodisk' info -s 3,virtio-blk,nodisk,serial=LATER
expect_contains 'info of nodisk' "$out" '  serial             LATER'
page copy copy -s 3,virtio-blk,disk.img,ro -s 4,virtio-blk,copy.img,writeback
for command in "" info copy read write flush discard zero bench check; do
  # shellcheck disable=SC2086
  page "help of $command" $command --help
done
page check check -s 3,virtio-blk,disk.img,discard
expect_contains check "$out" ', 0 broken, '
for depth in 16 1000; do
  page "bench of depth $depth" bench -s 3,virtio-blk,disk.img,writeback --rw randrw --qd "$depth" --seconds 0.05 --direct-baseline
done
page 'bench that verifies' bench -s 3,virtio-blk,disk.img,writeback --rw randrw --seconds 0.05 --verify
page 'bench of large blocks' bench -s 3,virtio-blk,disk.img --rw write --bs 1M --qd 2 --seconds 0.05
run "$vblk" info --json -s 3,virtio-blk,disk.img
expect_contains 'JSON' "$(tr -d ' \n' <<<"$out")" '"bars":[{"bar":0,"kind":"io","address":"0x2000","size":128}'

# --- without the standard descriptors nothing is written into an image
before=$(sha256sum disk.img)
for closed in '>&-' '2>&-' '<&-' '<&- >&- 2>&-'; do
  eval "'$vblk' info -s 3,virtio-blk,disk.img,ro $closed" >"$work/stdout" 2>"$work/stderr"
  expect_equal "info $closed: exit code" $? 0
  eval "'$vblk' info -s 3,virtio-blk,missing.img $closed" >"$work/stdout" 2>"$work/stderr"
  expect_equal "a missing disk, $closed: exit code" $? 66
done
expect_equal 'the image' "$(sha256sum disk.img)" "$before"
finish
