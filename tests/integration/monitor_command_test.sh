#!/bin/bash
# What a running acrn-dm says of its disks, from outside: --metrics at a socket and at a port, events, vblk top and
# vblk report. Nothing is timed.
# usage: monitor_command_test.sh <acrn-dm> <vblk>
. "$(dirname "$0")/lib.sh"
tests=$(realpath "$(dirname "$0")")
dm=$1
vblk=$2
cd "$work" || exit 1
truncate -s 1M disk.img

# get <place> [<curl option>...]: leaves $out
get() {
  local place=$1
  shift
  case $place in
    *.sock) run curl -s --unix-socket "$place" "$@" http://localhost/metrics ;;
    *) run curl -s "$@" "http://$place/metrics" ;;
  esac
}

# serve <option>...: in the background, with its control socket; leaves $pid
serve() {
  "$dm" --serve vhost-user=. --cmd_monitor control.sock -s 9,virtio-blk,disk.img,writeback "$@" vm1 2>dm.log &
  pid=$!
  pids+=("$pid")
  await test -S vm1.9.0.sock
}
stop() {
  kill -TERM "$pid"
  wait "$pid"
  expect_equal 'exit status' "$?" 0
  expect_equal 'messages' "$(grep -v 'guest mistake sector-past-end' dm.log)" ''
}

# A port that nobody listens on. Somebody may take it before us, so it is tried with others.
serve_at_port() {
  local try
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    run "$dm" --dry_run --metrics "$port" vm1
    [ "$status" = 0 ] || continue
    serve --metrics "127.0.0.1:$port"
    return
  done
  fail 'no port is free'
}

disk='{vm="vm1",slot="0:9:0"'
if command -v curl >/dev/null; then
  # --- metrics at a socket
  serve --metrics metrics.sock
  expect_equal 'mode' "$(stat -c %a metrics.sock)" 600
  get metrics.sock
  expect_equal 'curl' "$status" 0
  expect_contains 'size' "$out" "acrn_disk_size_bytes$disk} 1048576"
  expect_contains 'clients' "$out" "acrn_disk_clients$disk} 0"
  get metrics.sock -H 'Accept: application/openmetrics-text; version=1.0.0'
  expect_equal 'end of OpenMetrics' "$(printf '%s\n' "$out" | tail -n 1)" '# EOF'
  run curl -s --unix-socket metrics.sock -o /dev/null -w '%{http_code}' http://localhost/
  expect_equal 'another path' "$out" 404
  run curl -s --unix-socket metrics.sock -o /dev/null -w '%{http_code}' -X POST -d x http://localhost/metrics
  expect_equal 'another method' "$out" 405
  get metrics.sock -I
  expect_contains 'HEAD' "$out" 'HTTP/1.1 200 OK'
  stop
  expect_equal 'sockets that are left' "$(ls ./*.sock 2>/dev/null)" ''

  # --- metrics at a port, and what a second one says of it
  serve_at_port
  get "127.0.0.1:$port"
  expect_contains 'port' "$out" "acrn_disk_size_bytes$disk} 1048576"
  run "$dm" --dry_run --metrics "$port" vm2
  expect_equal 'a port that is taken: exit status' "$status" 66
  expect_contains 'a port that is taken' "$err" "--metrics 127.0.0.1:$port: Address already in use; give the path of a new socket or a free port"
  if command -v promtool >/dev/null; then
    get "127.0.0.1:$port"
    printf '%s\n' "$out" | promtool check metrics >promtool.log 2>&1
    expect_equal 'promtool' "$?$(cat promtool.log)" 0
  else
    echo 'skipped: promtool check metrics (promtool is not installed; package prometheus)'
  fi
  stop
else
  echo 'skipped: metrics by HTTP (curl is not installed)'
fi

# --- events of clients and of what their guests do
serve
beyond_the_end() { "$vblk" read --connect vhost-user=vm1.9.0.sock --sector 2048 --count 1 >/dev/null 2>&1; }
if command -v socat >/dev/null; then
  mkfifo requests
  socat -t 20 - UNIX-CONNECT:control.sock <requests >events &
  pids+=($!)
  exec 3>requests
  echo '{"command": "subscribe"}' >&3
  await grep -q '"ok":true' events
  beyond_the_end
  await grep -q '"left"' events
  expect_equal 'events' "$(sed 1d events | sed 's/"time":[0-9.]*,//')" \
    '{"event":"client","slot":"0:9:0","state":"connected","clients":1}
{"event":"guest_error","slot":"0:9:0","rule":"sector-past-end","value":2048,"count":1}
{"event":"client","slot":"0:9:0","state":"left","clients":0}'
  exec 3>&-
else
  echo 'skipped: events (socat is not installed)'
  beyond_the_end
fi

# --- vblk top: lines, JSON
run "$vblk" top control.sock --count 2 --interval 0.1
expect_equal 'top: exit code' "$status" 0
expect_equal 'top: stderr' "$err" ''
expect_equal 'top: lines' "$(printf '%s\n' "$out" | wc -l)" 3
expect_contains 'top' "$out" 'TIME     SLOT     READ/s   MB/s WRITE/s   MB/s    QD    p50    p99   ERR'
expect_contains 'top' "$out" ' 0:9:0         0      0       0      0     0      -      -     1'
run "$vblk" top control.sock --count 2 --interval 0.1 --json
expect_equal 'top --json: lines' "$(printf '%s\n' "$out" | grep -c '^{"vm":"vm1","state":"running","seconds":0\.')" 2
expect_contains 'top --json' "$out" '"guest_errors":{"sector-past-end":1}'

# --- vblk top on a terminal: what it draws, and that the terminal is as it was
if command -v python3 >/dev/null; then
  for key in q INT STOP; do
    run python3 "$tests/terminal.py" "$key" "$vblk" top control.sock --interval 0.1
    expect_equal "top on a terminal, $key" "$out$err" 'it ended with 0, and the terminal is as it was'
  done
else
  echo 'skipped: vblk top on a terminal (python3 is not installed)'
fi

# --- vblk report
run "$vblk" report control.sock --html report.html --seconds 1
expect_equal 'report: exit code' "$status" 0
expect_contains 'report' "$out" 'report.html: 1 disk, '
expect_equal 'report: stderr' "$err" ''
page=$(cat report.html)
for part in '<!DOCTYPE html>' '<title>vm1: disks</title>' 'sector-past-end' 'requests per second' '</html>'; do
  expect_contains 'report' "$page" "$part"
done
run "$vblk" report control.sock --html - --seconds 1
expect_contains 'report on stdout' "$out" '</html>'
run "$vblk" report control.sock --html none/report.html --seconds 1
expect_equal 'report into nowhere: exit code' "$status" 74
expect_contains 'report into nowhere' "$err" '--html none/report.html: No such file or directory'

# --- what is refused, and a machine that ends
run "$vblk" top
expect_equal 'no socket: exit code' "$status" 64
expect_contains 'no socket' "$err" 'vblk: top: the socket is missing; give that of --cmd_monitor, like vblk top /run/acrn/vm1.sock'
run "$vblk" top none.sock
expect_equal 'a socket that is not there: exit code' "$status" 66
expect_contains 'a socket that is not there' "$err" 'vblk: top: none.sock: No such file or directory; give a control socket'
run "$vblk" report control.sock
expect_contains 'no page' "$err" 'report: --html is missing; give the file to write'
"$vblk" top control.sock --interval 0.1 >top.out 2>top.err &
top=$!
pids+=("$top")
await grep -q 0:9:0 top.out
stop
wait "$top"
expect_equal 'a machine that ends: exit code' "$?" 74
expect_contains 'a machine that ends' "$(cat top.err)" 'vblk: top: control.sock: the device model has ended'
finish
