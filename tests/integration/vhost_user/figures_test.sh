#!/usr/bin/env bash
# What a guest counts of its disks, beside what is said of them: rates in /proc/diskstats beside limits, requests, bytes and errors
# beside --metrics, and events. User Mode Linux is the guest. Usage: figures_test.sh <acrn-dm> <source folder>
# COVERS(guest): limits of requests, of bytes and of a group, by what the guest counts; its requests, bytes and errors in the metrics; events
. "$(dirname "$0")/lib.sh"
uml=$("$source/samples/guest/get_uml.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
have socat || skip 'socat is not installed'
cat "$source/tests/integration/guest/guest.init" >init
cat >job <<'END'
# moment: time in hundredths of a second, then requests and sectors of each disk that has a limit
moment() {
  read -r now idle </proc/uptime
  echo "${now%.*}${now#*.}" $(awk '$3 ~ /^vd[a-d]$/ { print $4 + $8, $6 + $10 }' /proc/diskstats)
}
# Eight at a time for each, so that there is load also while the host is busy; for longer than it is looked at.
for part in 0 1 2 3 4 5 6 7; do
  dd if=/dev/vda of=/dev/null bs=4k skip=$((part * 512)) iflag=direct &
  dd if=/dev/zero of=/dev/vdb bs=16k seek=$((part * 128)) oflag=direct conv=notrunc &
  dd if=/dev/vdc of=/dev/null bs=16k skip=$((part * 128)) iflag=direct &
  dd if=/dev/zero of=/dev/vdd bs=4k seek=$((part * 512)) oflag=direct conv=notrunc &
done 2>/dev/null
for second in 0 2 4 6 8 10; do
  sleep 2
  echo "@moment $(moment)"
done
kill $(jobs -p)
wait

echo @grow
until [ "$(cat /sys/block/vde/size)" = 65536 ]; do usleep 20000; done
fill /dev/vde 4096
check 'discard' blkdiscard -o 1048576 -l 1048576 /dev/vde
echo @cut
until [ "$(cat /sys/block/vda/size)" = 65536 ]; do usleep 20000; done
for block in 7500 8125; do
  refuse "block $block" dd if=/dev/vde of=/dev/null bs=4k skip=$block count=1 iflag=direct
done
sync
echo "@failed $(dmesg | grep -c 'I/O error, dev vde')"
awk '$3 ~ /^vd[a-e]$/ { print "@counts", $3, $4, $6 * 512, $8, $10 * 512, $15 }' /proc/diskstats
END
"$source/samples/guest/make_initrd.sh" vm.gz --kernel "$uml" --init init --file "$work/job:/job" --module virtio_blk || fail 'make_initrd.sh'

# await <what> <command...>: until it holds, for as long as the guest runs
await() {
  local what=$1
  shift
  until "$@" 2>/dev/null; do
    kill -0 "$guest" 2>/dev/null || { fail "$what" && return 1; }
    read -rt 0.05 <> <(:)
  done
}
said() { grep -q "^@$1" console; }
moments() { [ "$(grep -c '^@moment' console)" -ge "$1" ]; }
ask() { printf '%s\n' "$1" | timeout 10 socat -t 5 - UNIX-CONNECT:control; }
scrape() { printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n' | timeout 10 socat -t 5 - UNIX-CONNECT:metrics >scraped; }
# metric <name> <slot> [<label>]: the sum of those samples
metric() {
  awk -v begin="$1{vm=\"vm1\",slot=\"0:$2:0\"" -v label="${3:-}" \
    'index($0, begin) == 1 && (label == "" || index($0, label)) { sum += $NF } END { print sum + 0 }' scraped
}

truncate -s 16M a.img b.img c.img d.img e.img
"$acrn_dm" --serve vhost-user=. --cmd_monitor control --metrics ./metrics -s 9,virtio-blk,a.img,writeback,iops=60 \
  -s 10,virtio-blk,b.img,writeback,bps=512K -s 11,virtio-blk,c.img,writeback,throttle_group=both,iops=80 \
  -s 12,virtio-blk,d.img,writeback,throttle_group=both -s 13,virtio-blk,e.img,writeback,discard vm1 2>server.err &
server=$!
pids+=($server)
await_socket metrics $server
mkfifo listener
exec 7<>listener
socat - UNIX-CONNECT:control <listener >events 7>&- &
listener=$!
echo '{"command": "subscribe"}' >&7

: >console
timeout -k 5 100 "$uml/linux" mem=128M initrd=vm.gz con=null con0=null,fd:1 quiet virtio_uml.device=vm1.9.0.sock:2 \
  virtio_uml.device=vm1.10.0.sock:2 virtio_uml.device=vm1.11.0.sock:2 virtio_uml.device=vm1.12.0.sock:2 \
  virtio_uml.device=vm1.13.0.sock:2 </dev/null >console 2>&1 &
guest=$!
# From outside at the same time.
times=() counts=()
for count in 1 2 3 4 5 6; do
  await 'the guest has no load' moments $count
  scrape
  times+=("${EPOCHREALTIME/./}") counts+=("$(metric acrn_disk_requests_total 9)")
done
await 'the guest does not go on' said grow
truncate -s 32M e.img a.img
expect_contains resize "$(ask '{"command":"resize","arguments":"13"}')" 33554432
await 'the disk does not grow' said cut
truncate -s 4M e.img
expect_contains resize "$(ask '{"command":"resize","arguments":"9"}')" 33554432
wait $guest
sed -i 's/\r$//' console
expect_equal "the kernel's exit status" $? 0
grep '^FAILED' console && failures=$((failures + 1))
expect_equal 'the end of its job' "$(grep -c '^@done' console)" 1

# allows <what> <limit> <seconds and counts>...: in all no more than 5 % above the limit, and in one of the windows no less than 5 %
# below: while the host is busy a guest may ask for less.
allows() {
  awk -v limit="$2" -v moments="${*:3}" 'BEGIN {
    size = split(moments, value)
    for (i = 1; i + 3 <= size; i += 2) {
      rate = (value[i + 3] - value[i + 1]) / (value[i + 2] - value[i])
      if (rate > best) best = rate
    }
    whole = (value[size] - value[2]) / (value[size - 1] - value[1])
    printf "%.1f a second of %d, and %.1f in the best window\n", whole, limit, best
    exit whole > limit * 1.05 || best < limit * 0.95
  }' >allowed || fail "$1: $(cat allowed)"
  echo "$1: $(cat allowed)"
}
# counted <field> [<factor>]: of each moment the seconds, and what the guest has counted
counted() { awk -v field="$1" -v factor="${2:-1}" '/^@moment/ { print $2 / 100, $(field + 2) * factor }' console; }
# shellcheck disable=SC2046
{
  allows 'requests' 60 $(counted 1)
  allows 'bytes' 524288 $(counted 4 512)
  allows 'requests of one of the group' 40 $(counted 5)
  allows 'requests of the other one' 40 $(counted 7)
  allows 'requests, by the metrics' 60 $(for i in "${!times[@]}"; do echo "$((times[i] / 1000))e-3 ${counts[i]}"; done)
}

# Nothing is asked for any more. Linux counts a flush as a write of nothing, and the bytes of a read that failed.
scrape
slot=9
failed=$(sed -n 's/^@failed //p' console)
expect_equal 'errors of the guest' "$failed" 2
for disk in vda vdb vdc vdd vde; do
  read -r reads read_bytes writes written_bytes discards <<<"$(sed -n "s/^@counts $disk //p" console)"
  expect_equal "$disk: reads" "$(metric acrn_disk_requests_total $slot '"read"')" "$reads"
  expect_equal "$disk: writes" \
    $(($(metric acrn_disk_requests_total $slot '"write"') + $(metric acrn_disk_requests_total $slot '"flush"'))) "$writes"
  expect_equal "$disk: discards" "$(metric acrn_disk_requests_total $slot '"discard"')" "$discards"
  [ $disk != vde ] || read_bytes=$((read_bytes - failed * 4096))
  expect_equal "$disk: bytes read" "$(metric acrn_disk_read_bytes_total $slot)" "$read_bytes"
  expect_equal "$disk: bytes written" "$(metric acrn_disk_written_bytes_total $slot)" "$written_bytes"
  slot=$((slot + 1))
done
expect_equal 'failed requests' "$(metric acrn_disk_failed_requests_total 13 '"ioerr"')" "$failed"
expect_equal 'errors of the host' "$(metric acrn_disk_host_errors_total 13 'operation="read",error="EIO"')" "$failed"
expect_equal 'errors of other disks' "$(grep -c 'acrn_disk_host_errors_total{vm="vm1",slot="0:\(9\|10\|11\|12\):0"' scraped)" 0

left() { [ "$(grep -c '"state":"left"' events)" = 5 ]; }
guest=$server
await 'five clients have left' left
expect_equal 'clients' "$(grep -c '"event":"client".*"connected"' events)" 5
expect_equal 'disks that have grown' "$(grep '"resized"' events | grep -o '"slot":.*')" \
  "$(printf '"slot":"0:%d:0","bytes":33554432}\n' 13 9)"
expect_equal 'errors that were told of' "$(grep -c '"event":"io_error".*"slot":"0:13:0","operation":"read","error":"EIO"' events)" 2

kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
wait $listener
expect_equal 'on stderr' "$(grep -v 'read of 8 sectors at sector 6[05]000 failed' server.err)" ''
[ "$failures" = 0 ] || tail -n 40 console events server.err
finish
