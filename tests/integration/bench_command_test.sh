#!/bin/bash
# `vblk bench` from outside: every pattern on real files, its report, what it verifies, what it refuses. Nothing is timed.
# usage: bench_command_test.sh <vblk> <source directory> <build folder of manual page and completion>
#        [library that forbids io_uring, to preload]
. "$(dirname "$0")/lib.sh"
vblk=$1
manual=$2/docs/vblk.md man=$3/vblk.1 completion=$3/acrn-dm.bash
cd "$work" || exit 1
head -c 4194304 /dev/urandom >disk.img
disk=3,virtio-blk,disk.img,writeback,lock=off

# bench <argument...>: a short one
bench() {
  run "$vblk" bench --seconds 0.1 "$@"
}

# refused <exit code> <part of the message> <argument...>
refused() {
  local code=$1 part=$2
  shift 2
  run "$vblk" bench "$@"
  expect_equal "$*: exit code" "$status" "$code"
  expect_equal "$*: stdout" "$out" ""
  expect_equal "$*: lines on stderr" "$(printf '%s\n' "$err" | wc -l)" 1
  expect_contains "$*" "$err" "vblk: $part"
}

# Progress is for terminals, which stderr is not.
no_progress() {
  case $err in *$'\r'*) fail "$1: progress on stderr: $err" ;; esac
}

# number <key>: the first value of that key in the JSON
number() { printf '%s\n' "$out" | sed -n "s/^ *\"$1\": \([0-9.e+-]*\),*\$/\1/p" | head -n 1; }
positive() { awk -v value="$(number "$1")" 'BEGIN { exit !(value > 0) }' || fail "$2: $1 is '$(number "$1")'"; }

# --- every option is in every text
run "$vblk" bench --help
options=$(printf '%s\n' "$out" | grep -oE -- '^ +--?[a-z_-]+(,--[a-z_-]+)?' | tr -d ' ' | tr ',' '\n' | grep -v -- -h | sort -u)
[ "$(printf '%s\n' "$options" | wc -l)" -gt 20 ] || fail "few options in --help: $options"
for option in $options; do
  grep -qE -- "[\`, ]$option[\` ,[]" "$manual" || fail "$option is not in vblk.md"
  grep -qE -- "F[l] ${option#-}( |\$)" "$man" || fail "$option is not in vblk.1"
  grep -qwe "$option" "$completion" || fail "$option is not in the completion"
done

# --- every pattern, as a table
for rw in read write randread randwrite randrw; do
  bench -s "$disk" --rw $rw
  expect_equal "$rw: exit code" "$status" 0
  no_progress "$rw"
  expect_contains "$rw" "$out" "$rw"
  expect_contains "$rw" "$out" "of 4096 bytes, depth 16, 1 job(s) on 1 queue(s), medians of 5 rounds"
  expect_contains "$rw" "$out" $'\ndevice '
  for column in IOPS MB/s 'p50 us' 'p99 us' 'p99.9 us' CPUs/M kicks irqs switches errors; do expect_contains "$rw" "$out" "$column"; done
done
expect_contains 'a mix' "$out" 'randrw (50 % reads)'

# --- the report for programs, beside the file
bench -s "$disk" --rw randrw --rwmixread 70 --bs 8k --qd 4 --size 1M --ramp 0.02 --seed 9 --direct-baseline=best --json
expect_equal 'JSON: exit code' "$status" 0
no_progress 'JSON'
for key in rw rwmixread bs qd numjobs queues bytes seconds ramp cold seed rounds device direct direct_method direct_methods \
  ratio cpu_ratio p99_ratio iops mb_per_second p50_us p99_us p999_us cpu_seconds_per_million kicks_per_io \
  interrupts_per_io context_switches_per_io requests errors round_iops preadv; do
  expect_contains 'JSON' "$out" "\"$key\": "
done
for key in iops mb_per_second p50_us cpu_seconds_per_million ratio cpu_ratio p99_ratio; do positive $key 'JSON'; done
expect_equal 'JSON: bs' "$(number bs)" 8192
expect_equal 'JSON: bytes' "$(number bytes)" 1048576
expect_equal 'JSON: errors' "$(number errors)" 0
case $out in
  *'"left_out": "io_uring'*) echo 'skipped: io_uring beside the device (this host forbids it)' ;;
  *) expect_contains 'JSON' "$out" '"io_uring": ' ;;
esac

if [ -n "${4:-}" ]; then
  LD_PRELOAD=$4 bench -s "$disk" --direct-baseline
  expect_equal 'no io_uring: exit code' "$status" 0
  expect_contains 'no io_uring' "$out" 'left out: io_uring, which this host forbids: Operation not permitted'
  expect_contains 'no io_uring' "$out" 'ratio to preadv: '
  LD_PRELOAD=$4 bench -s "$disk" --direct-baseline=io_uring
  expect_equal 'io_uring and nothing else: exit code' "$status" 70
  expect_contains 'io_uring and nothing else' "$err" '--direct-baseline=io_uring, which this host forbids: Operation not permitted'
else
  echo 'skipped: a host that forbids io_uring (a sanitizer is loaded first)'
fi

# --- how long a kick takes
bench -s "$disk" --kick-times
expect_contains 'kick times' "$out" 'a kick holds up its thread for '
bench -s "$disk" --kick-times --json
positive kick_p50_us 'kick times'
positive kick_p999_us 'kick times'

# --- one direct method, its old name, direct I/O, write-through, a window, cold caches
bench -s "$disk" --baseline
expect_equal '--baseline: exit code' "$status" 0
expect_contains '--baseline' "$out" 'ratio to '
bench -s "$disk" --direct-baseline preadv --rw write --bs 1M --qd 2
expect_contains 'preadv' "$out" 'ratio to preadv: IOPS '
case $out in *io_uring*) fail "io_uring without being asked: $out" ;; esac
bench -s 3,virtio-blk,disk.img --rw randwrite --direct-baseline
expect_equal 'write-through: exit code' "$status" 0
bench -s 3,virtio-blk,disk.img,writeback,range=2048/2048 --cold --direct-baseline
expect_equal 'cold: exit code' "$status" 0
if dd if=disk.img of=/dev/null iflag=direct bs=4k count=1 2>/dev/null; then
  bench -s 3,virtio-blk,disk.img,writeback,nocache --rw randrw --direct-baseline
  expect_equal 'nocache: exit code' "$status" 0
else
  echo 'skipped: direct I/O (this file system has none)'
fi

# --- jobs
bench -s 3,virtio-blk,mq=4,disk.img,ro --rw read
expect_contains 'jobs' "$out" '4 job(s) on 4 queue(s)'
bench -s 3,virtio-blk,mq=4,disk.img,writeback --rw randrw --numjobs 2 --direct-baseline
expect_equal 'two jobs: exit code' "$status" 0
expect_contains 'two jobs' "$out" '2 job(s) on 4 queue(s)'
bench -s 3,virtio-blk,disk.img,ro,queue_size=8 --qd 100
expect_contains 'a short ring' "$out" 'depth 8 (what the ring holds; queue_size= makes it larger)'
bench -s 3,virtio-blk,disk.img,ro --bs 16M --qd 64 --size 16M
expect_contains 'more than the disk' "$err" '--bs 16777216: larger than the 4194304 bytes to work on'
bench -s 3,virtio-blk,ram:16M --bs 8M --qd 40 --rw write
expect_equal 'large buffers: exit code' "$status" 0

# --- verification
for options in '' ',nocache' ',queue_size=4'; do
  bench -s "3,virtio-blk,mq=3,disk.img,writeback$options" --rw randrw --qd 16 --size 256k --verify
  expect_equal "verify $options: exit code" "$status" 0
  expect_contains "verify $options" "$out" 'verified: '
done
bench -s 3,virtio-blk,disk.img,writeback --rw write --bs 64k --verify --ramp 0.02 --json
expect_equal 'verify: exit code' "$status" 0
positive read_back 'verify'

# Somebody else writes zeroes to the file all the while.
head -c 262144 /dev/zero >zeroes
(until [ -e stop ]; do dd if=zeroes of=disk.img bs=256k conv=notrunc 2>/dev/null; done) &
spoiler=$!
run "$vblk" bench -s "$disk" --rw randrw --size 256k --verify --seconds 2
expect_equal 'spoiled: exit code' "$status" 74
expect_equal 'spoiled: stdout' "$out" ""
expect_equal 'spoiled: what it says' "$(printf '%s\n' "$err" | grep -c '^vblk: verify: ')" 1
expect_contains 'spoiled' "$err" 'vblk: verify: offset '
touch stop
wait "$spoiler"

# --- a disk that fails: no file of this process may be longer than 512 KiB
head -c 1048576 /dev/zero >long.img
trap '' XFSZ
(ulimit -f 512 && "$vblk" bench -s 3,virtio-blk,long.img,writeback --rw randwrite --seconds 0.1 >table 2>message)
expect_equal 'a failing disk: exit code' "$?" 74
expect_contains 'a failing disk' "$(cat message)" 'vblk: bench: device: '
expect_contains 'a failing disk' "$(cat message)" 'requests failed, the first with: I/O error (status 1)'
expect_contains 'a failing disk' "$(cat table)" 'errors'

# --- what is refused
refused 64 '--rw reed: give read, write, randread, randwrite or randrw' -s "$disk" --rw reed
refused 64 '--bs 1000: give a multiple of 512 bytes, at most 16M, like 4k' -s "$disk" --bs 1000
refused 64 '--qd 0: give a number from 1 to 1024' -s "$disk" --qd 0
refused 64 '--numjobs 0: give a number from 1 to 64' -s "$disk" --numjobs 0
refused 64 '--numjobs 4: each has a queue of its own, and the disk has 1; give mq=4 to -s' -s "$disk" --numjobs 4
refused 64 '--size 12Q: give a number of bytes' -s "$disk" --size 12Q
refused 64 '--seconds 0: give a number of seconds, more than 0 and at most 3600' -s "$disk" --seconds 0
refused 64 '--ramp x: give a number of seconds, 0 to 3600' -s "$disk" --ramp x
refused 64 '--rwmixread 200: give a number from 0 to 100' -s "$disk" --rw randrw --rwmixread 200
refused 64 '--direct-baseline aio: give preadv, io_uring or best' -s "$disk" --direct-baseline=aio
refused 64 '--direct-baseline: needs a file or a block device, not ram:16777216' -s 3,virtio-blk,ram:16M --direct-baseline
if have qemu-img; then
  qemu-img convert -O qcow2 disk.img image.qcow2
  before=$(sha256sum disk.img image.qcow2)
  refused 64 '--direct-baseline: image.qcow2: an image (format=) has other bytes than its disk; give a raw file' \
    -s 3,virtio-blk,image.qcow2,format=qcow2,writeback --rw randwrite --baseline
  refused 64 '--direct-baseline: disk.img: with snapshot its file is not written to; give a raw file' \
    -s 3,virtio-blk,disk.img,snapshot,writeback --rw randwrite --baseline
  expect_equal '--direct-baseline of images: the files' "$(sha256sum disk.img image.qcow2)" "$before"
else
  echo 'skipped: --direct-baseline of images (qemu-img is not installed)'
fi
refused 64 '--cold: needs a file or a block device, not ram:16777216' -s 3,virtio-blk,ram:16M --cold
refused 64 '--verify: --direct-baseline would overwrite' -s "$disk" --rw write --verify --direct-baseline
refused 64 '--verify: --rw read writes nothing' -s "$disk" --rw read --verify
refused 64 '--verify: 64 requests in flight on 2 blocks' -s 3,virtio-blk,ram:16M,queue_size=64 --qd 64 --size 8k --rw write --verify
refused 64 '--rw write: the disk is ro; give read or randread' -s 3,virtio-blk,disk.img,ro --rw write
refused 64 '--qd 1024: ' -s 3,virtio-blk,ram:64M,queue_size=1024 --bs 16M --qd 1024
refused 66 '-s 3:0: virtio-blk missing.img' -s 3,virtio-blk,missing.img
finish
