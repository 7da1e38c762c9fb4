#!/bin/bash
# `vblk crash` from outside: a program that forgets a flush is found, and its mistake reduced to one write; with the flush all
# states pass. Logs of QEMU's blklogwrites are read as well; what is refused.
# usage: crash_command_test.sh <vblk> <acrn-dm>
. "$(dirname "$0")/lib.sh"
vblk=$1
acrn_dm=$2
cd "$work" || exit 1
have qemu-io || { echo 'skipped: qemu-io (qemu-utils)' && exit 77; }
truncate -s 1M base.img

# logged <command of qemu-io>...: on a disk that is served, into disk.log
logged() {
  local command commands=()
  cp base.img disk.img
  "$acrn_dm" --serve nbd=. --cmd_monitor control -s 9,virtio-blk,disk.img,writeback,log=disk.log vm1 2>err &
  local server=$!
  pids+=("$server")
  await_socket vm1.9.0.sock "$server"
  for command; do commands+=(-c "$command"); done
  qemu-io -f raw -t writeback 'nbd+unix:///?socket=vm1.9.0.sock' "${commands[@]}" >qemu-io.log 2>&1 ||
    fail "qemu-io: $(cat qemu-io.log)"
  kill "$server"
  wait "$server"
  expect_equal 'the server' "$?$(cat err)" 0
}
# The record in block 0 is whole, or block 1 does not say that it is there.
check='[ "$(head -c 8192 % | tail -c 1)" != C ] || [ "$(head -c 4096 % | tr -d A | wc -c)" = 0 ]'

logged 'write -P 0x41 0 4k' 'write -P 0x43 4k 4k' 'write -P 0x44 64k 4k' flush
run "$vblk" crash --base base.img --log disk.log --check "$check"
expect_equal 'without the flush: exit status' "$status" 74
expect_contains 'what fails' "$out" 'entry 2          4096 bytes at sector 8            there'
expect_equal 'of three writes' "$(printf '%s\n' "$out" | grep -c missing)" 2
expect_contains 'what to run again' "$out" "again:     [ \"\$(head -c 8192 'disk.log.failed' | tail"
expect_contains 'nothing was flushed' "$out" 'fails: nothing was flushed, and behind it:'
expect_equal 'the image that is kept' "$(head -c 8192 disk.log.failed | tail -c 1)" C
expect_equal 'the base' "$(tr -d '\0' <base.img | wc -c)" 0
run "$vblk" crash --base base.img --log disk.log --check "$check" --json --keep kept.img
run "$vblk" crash --base base.img --log disk.log --check 'exit $(($(stat -c %%s %) > 1048576))' --most 1
expect_equal 'a % of the command'"'"'s own' "$status$err" 0
run "$vblk" crash --base base.img --log disk.log --check "$check" --json --keep kept.img
expect_contains 'as JSON' "$out" '{"entry":2,"sector":8,"bytes":4096,"is":"there"}'

logged 'write -P 0x41 0 4k' flush 'write -P 0x43 4k 4k' 'write -P 0x44 64k 4k' flush
run "$vblk" crash --base base.img --log disk.log --check "$check"
expect_equal 'with the flush: exit status' "$status" 0
expect_contains 'with the flush' "$out" 'all pass'
logged 'write -P 0x41 0 4k' 'write -f -P 0x43 4k 4k' flush # FUA alone makes itself stable, and nothing else
run "$vblk" crash --base base.img --log disk.log --check "$check"
expect_equal 'with FUA alone: exit status' "$status" 74
logged 'write -f -P 0x41 0 4k' 'write -f -P 0x43 4k 4k' # each makes itself stable
run "$vblk" crash --base base.img --log disk.log --check "$check"
expect_contains 'what was always stable' "$out" 'Each write was stable by itself'
logged 'write 0 4k' 'write 8k 4k' 'write 16k 4k' 'write 24k 4k' 'write 32k 4k' 'write 40k 4k' flush
run "$vblk" crash --base base.img --log disk.log --check 'true %'
expect_contains 'a sample' "$out" 'Of up to 6 writes between two flushes not every subset was tried'

# --- a state that fails while later ones are checked
logged 'write -P 0x41 0 4k' flush 'write -P 0x43 8k 4k' flush
run "$vblk" crash --base base.img --log disk.log --check '[ "$(tr -dc A <% | wc -c)" != 2048 ]' --parallel 8
expect_equal 'a write that may not be torn: exit status' "$status" 74
expect_contains 'a write that may not be torn' "$out" '4096 bytes at sector 0            torn'
expect_equal 'the image that is kept has nothing later' "$(tr -d '\0' <disk.log.failed | wc -c)" 2048

# --- QEMU's log
truncate -s 1M disk.img
truncate -s 8M other.log
qemu-io -t writeback --image-opts driver=blklogwrites,file.driver=file,file.filename=disk.img,log.driver=file,log.filename=other.log \
  -c 'write -P 0x41 0 4k' -c 'write -P 0x43 4k 4k' -c flush >qemu-io.log 2>&1 || fail "blklogwrites: $(cat qemu-io.log)"
run "$vblk" crash --base base.img --log other.log --check "$check"
expect_equal "QEMU's log: exit status" "$status" 74
expect_contains "QEMU's log" "$out" '4096 bytes at sector 8            there'

# QEMU goes on with a log of ours, which is how another reader takes it: with flushes, discards, zeroes, and the empty
# place of a flush that had not ended.
truncate -s 1M base.img
logged 'write -P 0x41 0 4k' flush 'discard 64k 64k' 'write -z 128k 64k'
truncate -s 8M disk.log
qemu-io -t writeback --image-opts driver=blklogwrites,file.driver=file,file.filename=disk.img,log.driver=file,log.filename=disk.log,log-append=on \
  -c 'write -P 0x43 4k 4k' -c flush >qemu-io.log 2>&1 || fail "blklogwrites: $(cat qemu-io.log)"
run "$vblk" crash --base base.img --log disk.log --check "$check"
expect_equal 'a log that two have written' "$status$err" 0

# --- what is killed leaves a log that is whole, with all that was done
cp base.img disk.img
"$acrn_dm" --serve nbd=. -s 9,virtio-blk,disk.img,writeback,log=disk.log vm1 2>err &
server=$!
pids+=("$server")
await_socket vm1.9.0.sock "$server"
stdbuf -oL qemu-io -f raw -t writeback 'nbd+unix:///?socket=vm1.9.0.sock' -c 'write -P 0x41 0 4k' -c flush \
  -c 'write -P 0x43 4k 4k' -c 'write -P 0x44 64k 4k' -c 'sleep 60000' >qemu-io.log 2>&1 &
client=$!
pids+=("$client")
await grep -q 'offset 65536' qemu-io.log
kill -9 "$server" "$client"
wait "$server" "$client" 2>/dev/null
rm vm1.9.0.sock
run "$vblk" crash --base base.img --log disk.log --check '[ "$(tr -dc D <% | wc -c)" != 4096 ]' --json
expect_equal 'after kill -9: exit status' "$status" 74
expect_contains 'after kill -9: what was done is there' "$out" '"flushed_entries":2,"mark":"","image":"disk.log.failed"'
expect_contains 'after kill -9: the rest as well' "$out" '{"entry":4,"sector":128,"bytes":4096,"is":"there"}'

refused 64 '--base is missing' "$vblk" crash --log disk.log --check ext4
refused 64 '--check is missing' "$vblk" crash --base base.img --log disk.log
refused 64 'no % for the image in it' "$vblk" crash --base base.img --log disk.log --check true
refused 66 'no log of writes; give a file that log=<file> has made' "$vblk" crash --base base.img --log base.img --check ext4
refused 66 'none: No such file' "$vblk" crash --base base.img --log none --check ext4
refused 66 'none: No such file' "$vblk" crash --base none --log disk.log --check ext4
refused 64 '--parallel 0: give a number from 1' "$vblk" crash --base base.img --log disk.log --check ext4 --parallel 0
refused 64 'log=base.img: it is there and no log of writes, so it is not replaced' \
  "$acrn_dm" --dry_run -s 9,virtio-blk,disk.img,log=base.img vm1
refused 64 'nothing is written to a disk that is ro' "$acrn_dm" --dry_run -s 9,virtio-blk,disk.img,ro,log=new.log vm1
refused 64 'log=disk.img: that is the disk itself' "$acrn_dm" --dry_run -s 9,virtio-blk,disk.img,log=disk.img vm1
refused 66 'log=none/new.log: it cannot be made in none: No such file or directory' \
  "$acrn_dm" --dry_run -s 9,virtio-blk,disk.img,log=none/new.log vm1
ln -s new.log link.log
refused 64 'log=link.log: a symbolic link; name the file itself' "$acrn_dm" --dry_run -s 9,virtio-blk,disk.img,log=link.log vm1

# --- what would make a check say nothing
crash=("$vblk" crash --base base.img --log disk.log)
refused 64 '--check fails on --base base.img itself (exit status 3: no good)' "${crash[@]}" --check 'echo no good; [ ! -e % ] || exit 3'
refused 64 '--check: the command cannot be run: exit status 127: sh: 1: no_such_check: not found' \
  "${crash[@]}" --check 'no_such_check %'
refused 64 '--check fails on --base base.img itself (it took too long; see --check-seconds)' \
  "${crash[@]}" --check 'sleep 60 <%' --check-seconds 1
head -c 512 base.img >short.img
refused 66 'entry 1 writes behind the end of --base short.img' "$vblk" crash --base short.img --log disk.log --check "$check"
head -c 3000 disk.log >cut.log
refused 66 '--log cut.log: it is damaged: entry 1 has data behind its end' "$vblk" crash --base base.img --log cut.log --check "$check"
logged flush
refused 66 '--log disk.log: nothing was written' "${crash[@]}" --check "$check"

# --- the checks that have names: each finds what is broken, and only that
# named <check> <bytes> <harm: at> <program> <argument...>: the program makes the file system
named() {
  local check=$1 size=$2 harm=$3
  shift 3
  have "$1" || { echo "skipped: --check $check ($1 is not installed)" && return; }
  rm -f base.img
  truncate -s "$size" base.img
  "$@" base.img >mkfs.log 2>&1 || fail "$*: $(cat mkfs.log)"
  head -c 4096 base.img >begin
  [ "$check" != fat ] || printf '\1' | dd of=begin bs=1 seek=37 conv=notrunc status=none # it is mounted
  logged 'write -s begin 0 4k' flush
  run "${crash[@]}" --check "$check"
  expect_equal "$check, which is whole: $out$err" "$status" 0
  logged 'write -s begin 0 4k' flush "write -P 0x55 $harm 4k"
  run "${crash[@]}" --check "$check"
  expect_equal "$check, which is broken: exit status" "$status" 74
}
named ext4 16M 4096 mkfs.ext4 -q -F -b 4096
named fat 16M 2048 mkfs.fat -F 16
named btrfs 128M 65536 mkfs.btrfs -q

# --- a whole disk that is discarded, and what a check says and leaves
rm -f base.img
truncate -s 64G base.img
logged 'discard 0 1G' 'write -P 0x41 40G 4k' flush 'write -z 1G 128M' 'write -P 0x42 40G 4k'
run "${crash[@]}" --check 'touch %.left; if [ "$(tail -c +42949672961 % | head -c 1)" = B ]; then echo it is B; exit 5; fi'
expect_equal 'exit status' "$status" 74
expect_contains 'what the check said' "$out" 'the check: exit status 5: it is B'
expect_contains 'what is left of it' "$out" '4096 bytes at sector 83886080     torn'
expect_equal 'blocks of the image' "$(($(stat -c %b disk.log.failed) < 10000))" 1
rm -f base.img
truncate -s 1M base.img
logged 'write -P 0x41 0 4k' flush
export TMPDIR=$work/"it's tmp"
mkdir "$TMPDIR"
run "${crash[@]}" --check '[ -e % ]'
expect_equal 'a folder with a quote in its name' "$status$err" 0

refused 74 'TMPDIR=/none: no folder for images can be made in it: No such file or directory' \
  env TMPDIR=/none "${crash[@]}" --check 'true %'

# --- what a check leaves is not there for the next one, also not when a state is reduced; no text goes to a terminal as it is
rm -f base.img
truncate -s 1M base.img
logged 'write -P 0x41 0 4k' 'write -P 0x42 4k 4k' 'write -P 0x43 8k 4k' flush
run "${crash[@]}" --check 'mkdir %.d && printf "\033[2J" && [ "$(tr -dc B <% | wc -c)" = 0 ]'
expect_equal 'of three writes that leave a folder' "$(printf '%s\n' "$out" | grep -c missing)" 2
expect_contains 'what the check said' "$out" 'the check: exit status 1: \x1b[2J'
run "${crash[@]}" --atomic 4096 --check '[ "$(tr -dc B <% | wc -c)" != 2048 ]'
expect_equal 'a disk of 4 KiB sectors' "$status$err" 0
refused 64 '--atomic 1000: give a power of two from 512 to 65536' "${crash[@]}" --check 'true %' --atomic 1000
refused 66 '--keep none/kept.img: it cannot be made: No such file or directory' \
  "${crash[@]}" --check 'touch checked; [ -e % ]' --keep none/kept.img
refused 64 "--keep $work: it is no regular file; name another" "${crash[@]}" --check 'touch checked; [ -e % ]' --keep "$work"
[ ! -e checked ] || fail '--keep: it was checked first'
mkdir later
run "${crash[@]}" --check 'rm -rf later; [ "$(tr -dc B <% | wc -c)" = 0 ]' --keep later/kept.img
expect_equal 'an image that cannot be kept any more: exit code' "$status" 74
expect_contains 'an image that cannot be kept any more: the report' "$out" '4096 bytes at sector 8            '
expect_contains 'an image that cannot be kept any more' "$err" 'later/kept.img: No such file or directory'
cp disk.log kept.log
refused 64 '--keep ./disk.log: that is disk.log; name another file' "${crash[@]}" --check 'true %' --keep ./disk.log
refused 64 '--keep base.img: that is base.img; name another file' "${crash[@]}" --check 'true %' --keep base.img
cmp disk.log kept.log || fail 'the log has changed'

# --- images and the log on file systems of their own
if [ -w /dev/shm ] && [ "$(stat -f -c %i /dev/shm)" != "$(stat -f -c %i .)" ]; then
  other=$(mktemp -d /dev/shm/acrn-test-XXXXXX)
  cp base.img "$other/"
  run "$vblk" crash --base "$other/base.img" --log disk.log --check '[ "$(tr -dc B <% | wc -c)" = 0 ]' --keep "$other/kept.img"
  expect_equal 'other file systems: exit status' "$status" 74
  expect_equal 'other file systems: the image' "$(tr -dc B <"$other/kept.img" | wc -c)" 2048
  rm -r "$other"
else
  echo 'skipped: images on another file system (/dev/shm)'
fi

# --- a signal ends it, its checks and its folder; so do two
for signals in TERM 'TERM HUP'; do
  rm -f slow
  "${crash[@]}" --check 'if [ -e slow ]; then sleep 600; fi; touch slow; [ -e % ]' 2>err &
  pid=$!
  pids+=("$pid")
  await test -e slow
  for signal in $signals; do kill -s "$signal" "$pid"; done
  wait "$pid" 2>/dev/null
  ended=$?
  [ "$signals" != TERM ] || expect_equal 'ended by a signal' "$ended$(cat err)" '70vblk: crash: ended by signal 15'
  expect_equal "what is left after $signals" "$(ls -A "$TMPDIR")" ''
done
finish
