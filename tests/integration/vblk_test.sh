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
page 'copy of disks with many queues' copy -s 3,virtio-blk,disk.img,ro,mq=32 -s 4,virtio-blk,copy.img,writeback,mq=32
for command in "" info copy convert read write flush discard zero bench check top report trace crash coach; do
  # shellcheck disable=SC2086
  page "help of $command" $command --help
done
run "$vblk"
expect_equal 'without arguments: exit code' "$status" 64
expect_equal 'without arguments: examples' "$(grep -c '^  vblk ' <<<"$err")" 5
expect_equal 'without arguments: wide lines' "$(awk 'length($0) > 80' <<<"$err")" ''
page check check -s 3,virtio-blk,disk.img,discard
expect_contains check "$out" ', 0 broken, '
for depth in 16 1000; do
  page "bench of depth $depth" bench -s 3,virtio-blk,disk.img,writeback --rw randrw --qd "$depth" --seconds 0.05 --direct-baseline
done
page 'bench that verifies' bench -s 3,virtio-blk,disk.img,writeback --rw randrw --seconds 0.05 --verify
page 'bench of large blocks' bench -s 3,virtio-blk,disk.img --rw write --bs 1M --qd 2 --seconds 0.05
run "$vblk" info --json -s 3,virtio-blk,disk.img
expect_contains 'JSON' "$(tr -d ' \n' <<<"$out")" '"bars":[{"bar":0,"kind":"io","address":"0x2000","size":128}'
for command in bench crash; do
  refused 64 'vblk: --jsn: unknown option; did you mean --json?' "$vblk" $command --jsn
done
refused 64 'vblk: --bsx: unknown option; did you mean --bs?' "$vblk" bench --bsx 4k
refused 64 'vblk: --frobnicate: unknown option; vblk bench --help shows what it takes' "$vblk" bench --frobnicate=7
refused 64 'vblk: one: one argument too many; vblk info --help shows what it takes' "$vblk" info one

for held in werror=stop werror=enospc rerror=stop; do
  refused 64 "vblk: -s 3:0: ${held%=*}: vblk cannot resume what it would hold; leave it out" \
    "$vblk" read -s "3,virtio-blk,disk.img,$held" --count 1
done

for command in read discard zero; do
  for sector in 8192 9000; do
    refused 64 "vblk: --sector $sector: the disk has 8192 sectors; give a lower one" \
      "$vblk" $command -s 3,virtio-blk,disk.img,discard --sector $sector
  done
done
run "$vblk" read -s 3,virtio-blk,disk.img,ro --sector 9000 --count 1
expect_equal 'a read past the end: exit code' "$status" 74
expect_contains 'a read past the end' "$err" 'vblk: read at sector 9000: I/O error'
for command in copy convert; do
  refused 64 'vblk: 3:0 (nodisk): there is nothing to copy; name a disk, like disk.img' \
    "$vblk" $command -s 3,virtio-blk,nodisk -s 4,virtio-blk,copy.img,writeback
done

# --- convert makes what it copies into, keeps holes, and leaves nothing behind when it fails
truncate -s 8M sparse.img
dd if=/dev/urandom of=sparse.img bs=64k seek=8 count=8 conv=notrunc status=none
page 'convert' convert -s 3,virtio-blk,sparse.img,ro -s 4,virtio-blk,made.img,writeback,discard
cmp sparse.img made.img || fail 'convert: another content'
[ "$(stat -c %b made.img)" -le 4096 ] || fail "convert: $(stat -c %b made.img) blocks for 512 KiB"
rm made.img
page 'convert to a disk that takes 4 KiB of zeroes' convert -s 3,virtio-blk,sparse.img,ro -s 4,virtio-blk,made.img,writeback,discard=8:1:8
cmp sparse.img made.img || fail 'convert to a disk that takes 4 KiB of zeroes: another content'
[ "$(stat -c %b made.img)" -le 4096 ] || fail "convert to a disk that takes 4 KiB of zeroes: $(stat -c %b made.img) blocks"
if command -v nbdkit >/dev/null; then
  nbdkit --exit-with-parent -f -U "$work/nbd.sock" --filter=log file sparse.img logfile=requests &
  nbdkit=$!
  until [ -S nbd.sock ]; do read -rt 0.05 <> <(:); done
  page 'convert from NBD' convert -s "3,virtio-blk,nbd+unix:///?socket=$work/nbd.sock,ro" \
    -s 4,virtio-blk,pulled.img,writeback,discard
  kill $nbdkit && wait $nbdkit
  cmp sparse.img pulled.img || fail 'convert from NBD: another content'
  expect_equal 'convert from NBD: reads of what is no hole' \
    "$(sed -n 's/.* Read .*offset=\(0x[0-9a-f]*\) count=\(0x[0-9a-f]*\) .*/\1 \2/p' requests)" '0x0 0x100000'
fi
if command -v qemu-img >/dev/null; then
  for format in qcow2 vmdk vdi vhdx; do
    page "convert to $format" convert -s 3,virtio-blk,sparse.img,ro -s "4,virtio-blk,made.$format,format=$format,writeback,discard"
    run qemu-img compare -f raw -F $format sparse.img made.$format
    expect_equal "convert to $format: $out$err" "$status" 0
    page "convert from $format" convert -s "3,virtio-blk,made.$format,format=$format,ro" -s "4,virtio-blk,from.$format,writeback"
    cmp sparse.img from.$format || fail "convert from $format: another content"
  done
fi
run "$vblk" convert -s 3,virtio-blk,missing.img,ro -s 4,virtio-blk,never.img
expect_equal 'convert of a missing disk: exit code' "$status" 66
truncate -s 1000 odd.img
run "$vblk" convert -s 3,virtio-blk,odd.img,ro -s 4,virtio-blk,never.img
expect_equal 'convert of an odd disk: exit code' "$status" 66
run "$vblk" convert -s 3,virtio-blk,sparse.img,ro -s 4,virtio-blk,/none/never.img
expect_contains 'convert to nowhere' "$err" '/none/never.img: cannot be made: No such file or directory'
[ ! -e never.img ] || fail 'convert: a file is left behind'

# ended <delay of a read> <signal>...: convert, once both disks are open
ended() {
  local delay=$1
  shift
  rm -f trace
  env --default-signal=INT "$vblk" convert -s "3,virtio-blk,before.img,ro,fault=read:delay=$delay" \
    -s 4,virtio-blk,never.img,writeback,trace=trace >report 2>err &
  pid=$!
  pids+=("$pid")
  await test -s trace
  for signal; do kill -s "$signal" "$pid"; done
  wait "$pid" 2>/dev/null
  status=$?
  expect_equal "convert, ended by $*: what it says" "$(cat report err)" ''
}
head -c 4M /dev/urandom >before.img
for signal in INT TERM HUP; do
  ended 2s $signal
  expect_equal "convert, ended by $signal" "$status" "$((128 + $(kill -l $signal)))"
  [ ! -e never.img ] || fail "convert, ended by $signal: a file is left behind"
done
ended 60s TERM HUP
[ "$status" -gt 128 ] && [ -e never.img ] || fail "convert, ended by a second signal: exit code $status, or it has waited for the disk"
cp before.img never.img
ended 2s TERM
expect_equal 'convert to a file that was there, ended' "$status$(stat -c ' %s' never.img)" '143 4194304'

# --- check leaves the disk as it was, also when its report cannot be written and when a signal ends it
cp before.img scratch.img
"$vblk" check -s 3,virtio-blk,scratch.img,discard | true
cmp before.img scratch.img || fail 'check, read by nobody: another content'
"$vblk" check -s 3,virtio-blk,scratch.img,discard 2>err >/dev/full && fail 'check into a full device: exit code 0'
cmp before.img scratch.img || fail 'check into a full device: another content'
for signal in INT TERM HUP; do
  env --default-signal=INT "$vblk" check -s 3,virtio-blk,scratch.img,discard,fault=any:delay=20ms >report 2>err &
  pid=$!
  pids+=("$pid")
  await eval '! cmp -s before.img scratch.img'
  kill -s $signal "$pid"
  wait "$pid" 2>/dev/null
  expect_equal "check, ended by $signal" "$?$(cat report err)" "$((128 + $(kill -l $signal)))"
  cmp before.img scratch.img || fail "check, ended by $signal: another content"
done

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
