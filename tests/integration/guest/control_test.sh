#!/bin/sh
# The control socket and the metrics, and what the guest sees and counts itself.
# COVERS(guest): statistics, metrics, events, rescan, resize, pause and resume, stop
. "${0%/*}/lib.sh"

truncate -s 4M disk.img
head -c 1048576 /dev/urandom >later.img
sum=$(sum later.img)
job control "sum=$sum" <<'END'
dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null
equal 'a disk without a file' "$(cat /sys/block/vdb/size)" 0
echo @ready
size() { # size <disk> <sectors>
  i=0
  while [ "$(cat /sys/block/$1/size)" != $2 ] && [ $i -lt 200 ]; do
    usleep 50000
    i=$((i + 1))
  done
  equal "size of $1" "$(cat /sys/block/$1/size)" $2
}
size vdb 2048
equal 'what is in it' "$(sum /dev/vdb)" $sum
echo @rescanned
size vda 16384
echo end of the disk | dd of=/dev/vda bs=512 seek=16383 conv=notrunc,fsync,sync 2>/dev/null || fail 'a write to what is new'
# Reads, bytes read, writes with flushes, bytes written
awk '$3 ~ /^vd[ab]$/ { print "@counts", $3, $4, $6 * 512, $8, $10 * 512 }' /proc/diskstats
echo @resized
i=0
while :; do
  echo "@tick $i"
  i=$((i + 1))
  usleep 100000
done
END
# metric <name> [<label>]: of the disk in $slot, of all queues
metric() {
  awk -v begin="acrn_disk_$1{vm=\"control\",slot=\"0:$slot:0\"" -v label="${2:-}" \
    'index($0, begin) == 1 && (label == "" || index($0, label)) { sum += $NF } END { print sum + 0 }' scraped
}
start control --cmd_monitor control.sock --metrics ./metrics.sock --sandbox-path . -s 9,virtio-blk,disk.img,writeback -s 10,virtio-blk,nodisk
if await control @ready; then
  mkfifo listener
  exec 7<>listener
  : >events
  socat - UNIX-CONNECT:control.sock <listener >>events 7>&- &
  echo '{"command": "subscribe"}' >&7
  until grep -q '"ok":true' events; do usleep 20000; done
  ok 'status' control.sock '{"command": "status"}'
  expect_contains 'status' "$reply" '"state":"running"'
  ok 'stats' control.sock '{"command": "stats", "arguments": "9"}'
  expect_above 'reads' "$(echo "$reply" | sed -n 's/.*"requests":{"read":\([0-9]*\).*/\1/p')" 0
  expect_equal 'bytes read' "$(($(echo "$reply" | sed -n 's/.*"bytes_read":\([0-9]*\).*/\1/p') >= 4194304))" 1
  expect_contains 'latency' "$(echo "$reply" | sed -n 's/.*"latency_us_below":{\("[0-9]*":[1-9]\).*/histogram \1/p')" histogram
  ok 'blkrescan' control.sock '{"command": "blkrescan", "arguments": "10,later.img"}'
  reply=$(control control.sock '{"command": "blkrescan", "arguments": "10,later.img"}')
  expect_contains 'a second blkrescan' "$reply" '"ok":false'
  await control @rescanned
  truncate -s 8M disk.img
  ok 'resize' control.sock '{"command": "resize", "arguments": "9"}'
  expect_contains 'resize' "$reply" '"bytes":8388608'
  await control '@tick 3'
  printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n' | timeout 20 socat -t 15 - UNIX-CONNECT:metrics.sock >scraped
  for disk in 9:vda 10:vdb; do
    # shellcheck disable=SC2046
    set -- $(said control "counts ${disk#*:}")
    slot=${disk%:*}
    expect_equal "$disk: reads" "$(metric requests_total '"read"')" "$1"
    expect_equal "$disk: bytes read" "$(metric read_bytes_total)" "$2"
    expect_equal "$disk: writes" "$(($(metric requests_total '"write"') + $(metric requests_total '"flush"')))" "$3"
    expect_equal "$disk: bytes written" "$(metric written_bytes_total)" "$4"
    expect_equal "$disk: failed requests" "$(metric failed_requests_total)" 0
  done
  if [ "$hypervisor" = kvm ]; then
    ok 'pause' control.sock '{"command": "pause"}'
    ok 'status' control.sock '{"command": "status"}'
    expect_contains 'status after pause' "$reply" '"state":"paused"'
    sleep 0.3 # what the guest had printed is on its way
    ticks=$(grep -c @tick control.console)
    sleep 1.5
    expect_equal 'ticks while paused' "$(grep -c @tick control.console)" "$ticks"
    ok 'resume' control.sock '{"command": "resume"}'
    await control @tick $((ticks + 3))
  else
    reply=$(control control.sock '{"command": "pause"}')
    expect_contains 'pause' "$reply" '"ok":false'
    await control '@tick 6'
  fi
  ok 'stop' control.sock '{"command": "stop"}'
fi
ended control
events=$(grep -o '"event":"[a-z_]*"' events | cut -d '"' -f 4 | xargs)
expected='resized resized'
[ "$hypervisor" != kvm ] || expected="$expected paused resumed"
expect_equal 'events' "$events" "$expected"
console control | grep FAILED && fail 'in the guest'
expect_equal 'the write to what is new' "$(tail -c 512 disk.img | head -n 1)" 'end of the disk'
expect 'the socket is gone' test ! -e control.sock
finish
