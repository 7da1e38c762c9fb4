#!/bin/bash
# `vblk trace` and `vblk coach` from outside: traces of a bench, replayed by us and by fio; what is refused.
# usage: trace_command_test.sh <vblk> <acrn-dm>
. "$(dirname "$0")/lib.sh"
vblk=$1
acrn_dm=$2
cd "$work" || exit 1
truncate -s 8M disk.img copy.img small.img
truncate -s 1M small.img

run "$vblk" bench -s 9,virtio-blk,disk.img,writeback,trace=t --rw randrw --seconds 0.1 --seed 5
expect_equal 'bench: exit code' "$status" 0
[ "$(stat -c %a t)" = 600 ] || fail "the trace is for others, too: $(stat -c %a t)"

# field <expression of the JSON d>
field() { printf '%s' "$out" | python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
requests_of() { field "sum(type['requests'] for type in d['types'] if type['type'] == '$1')"; }

# --- stats and show
run "$vblk" trace stats t --json
reads=$(requests_of read) writes=$(requests_of write)
[ "$reads" -gt 0 ] && [ "$writes" -gt 0 ] || fail "stats: $out"
run "$vblk" trace stats t
expect_contains 'stats' "$out" 'slot 0:9:0, disk.img'
run "$vblk" trace show t --type write --to 0.0001
while IFS= read -r line; do [ ${#line} -le 80 ] || fail "show: wide: $line"; done <<<"$out"
run "$vblk" trace show t --errors
expect_equal 'show --errors' "$out" ''
run "$vblk" trace chain t 1
expect_contains 'chain' "$out" '#1: '
expect_contains 'chain' "$out" 'status'
run "$vblk" trace show t --queue 1
expect_equal 'show of a queue that there is not' "$out" ''
run "$vblk" coach t
expect_equal 'coach: exit code' "$status" 0

# --- the same requests again
run "$vblk" trace replay t -s 9,virtio-blk,copy.img,writeback --speed max --json
expect_equal 'replay: exit code' "$status" 0
expect_equal 'replay: requests' "$(field "d['done']")" $((reads + writes))
expect_equal 'replay: failed' "$(field "d['failed']")" 0
"$vblk" bench -s 9,virtio-blk,disk.img,writeback,trace=large --rw read --bs 1M --qd 2 --seconds 0.1 >/dev/null
run "$vblk" trace replay large -s 9,virtio-blk,copy.img,writeback,mq=4 --speed max
expect_equal 'replay on a disk with several queues: exit code' "$status" 0
run "$vblk" trace replay t -s 9,virtio-blk,copy.img,writeback
expect_equal 'replay with its timing: exit code' "$status" 0
run "$vblk" trace fio t copy.img
printf '%s\n' "$out" >log
expect_equal 'fio: reads' "$(grep -c ' copy.img read ' log)" "$reads"
expect_equal 'fio: writes' "$(grep -c ' copy.img write ' log)" "$writes"
if have fio; then
  run fio --name=replay --read_iolog=log --ioengine=psync --replay_no_stall=1 --output-format=json
  expect_equal 'fio: exit code' "$status" 0
  expect_equal 'fio: what it has read' "$(field "d['jobs'][0]['read']['total_ios']")" "$reads"
else
  echo 'skipped: replayed by fio: fio is not installed'
fi

# --- the page: a browser draws it, and the mistakes of a driver are there
truncate -s 8M scratch.img
run "$vblk" check -s 9,virtio-blk,scratch.img,trace=mistakes
"$vblk" trace html mistakes >page.html || fail 'html'
expect_contains 'the page' "$(cat page.html)" '<b>buffer-not-in-ram</b>'
expect_equal 'what the page loads' "$(grep -cE '(src|href)=|https?://' page.html)" 0
browser=$(command -v chromium || command -v google-chrome || :)
if [ -n "$browser" ]; then
  timeout -k 5 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" \
    --virtual-time-budget=20000 --enable-logging=stderr --dump-dom "file://$work/page.html" >dom 2>console </dev/null
  expect_contains 'the drawn page' "$(grep -o '<body data-drawn="[0-9]*">' dom)" 'data-drawn='
  expect_contains 'the chosen chain' "$(cat dom)" '<tr class="wrong">'
  expect_equal 'errors of the script' "$(grep 'CONSOLE.*[Ee]rror' console)" ''
else
  echo 'skipped: the page in a browser: there is no chromium'
fi

refused 64 "known: show, chain, stats, html, replay, fio" "$vblk" trace list t
refused 64 'the file is missing' "$vblk" trace show
refused 66 'none: No such file' "$vblk" trace show none
refused 66 'no trace; give a file that trace=<file> has made' "$vblk" trace show disk.img
refused 66 'no regular file' "$vblk" trace show /dev/zero
refused 64 'the request is missing' "$vblk" trace chain t
refused 64 'requests; give the number of one' "$vblk" trace chain t 999999999
refused 64 '--speed 0: give how many times as fast' "$vblk" trace replay t -s 9,virtio-blk,copy.img --speed 0
refused 64 'give one of that size or more' "$vblk" trace replay t -s 9,virtio-blk,small.img
refused 64 'this command takes 1 slot' "$vblk" trace replay t
refused 64 'the trace writes, and the disk is ro' "$vblk" trace replay t -s 9,virtio-blk,copy.img,ro
"$vblk" read -s 9,virtio-blk,scratch.img,trace=bad --sector 16384 --count 1 >/dev/null 2>&1
run "$vblk" trace replay bad -s 9,virtio-blk,copy.img --json
expect_equal 'what broke a rule is skipped' "$status$(field "d['skipped']")" 01
for command in discard zero; do
  "$vblk" $command -s 9,virtio-blk,scratch.img,discard,trace=long --sector 0 --count 2048
  refused 64 'of 2048 sectors, and the disk takes 8; give discard=2048:0:0 to -s' \
    "$vblk" trace replay long -s 9,virtio-blk,copy.img,discard=8:1:8
  run "$vblk" trace replay long -s 9,virtio-blk,copy.img,discard=2048:0:0 --json
  expect_equal "replay of $command" "$status$(field "d['done']")" 01
done
run "$vblk" coach bad
expect_contains 'the coach' "$out" 'mistake: sector-past-end'
"$vblk" read -s 9,virtio-blk,scratch.img,trace=good --sector 0 --count 1 >/dev/null
run "$vblk" coach good
expect_contains 'the coach, of one request' "$out" 'for what is slow 100 requests are wanted, and there are 1'
refused 64 'log=x: the trace goes there' "$acrn_dm" --dry_run -s 9,virtio-blk,scratch.img,trace=x,log=x vm1
refused 64 "give a path without blanks" "$vblk" trace fio t 'a b'
refused 66 'none: No such file' "$vblk" coach none
refused 64 'trace=disk.img: it is there and no trace, so it is not replaced' \
  "$acrn_dm" --dry_run -s 9,virtio-blk,copy.img,trace=disk.img vm1
refused 64 'an export has no driver to trace' \
  "$acrn_dm" --serve nbd="$work" -s 9,virtio-blk,copy.img,trace=t2 vm1
[ ! -e t2 ] || fail 'a trace that was refused was made'

finish
