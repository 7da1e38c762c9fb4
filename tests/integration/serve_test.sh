#!/bin/bash
# --serve: what is refused, where the sockets are, and how it ends.
# usage: serve_test.sh <acrn-dm>
# COVERS(input): what a start refuses, a dry run refuses
. "$(dirname "$0")/lib.sh"
dm=$1
cd "$work" || exit 1
truncate -s 1M a.img b.img
mkdir sockets

# serve <log> <option>...: in the background; leaves $pid. Returns when the last socket named in $awaited is there.
serve() {
  local log=$1 tries
  shift
  "$dm" "$@" >"$log" 2>&1 &
  pid=$!
  pids+=("$pid")
  for ((tries = 0; tries < 200; tries++)); do
    if [ -S "$awaited" ] && ! fuser_gone "$awaited"; then return; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
}
# A socket that is there but nobody's.
fuser_gone() { ! grep -q " $(realpath -s "$1")\$\| $1\$" /proc/net/unix; }
# ended <pid> <status> <what>
ended() {
  local status=0
  wait "$1" || status=$?
  expect_equal "$3: exit status" "$status" "$2"
}
# refused <code> <part> <option>...: nothing was left in the folder
refused() {
  local code=$1 part=$2
  shift 2
  run "$dm" "$@"
  expect_equal "$*: exit status" "$status" "$code"
  expect_contains "$*: message" "$err" "$part"
  expect_equal "$*: lines on stderr" "$(printf '%s\n' "$err" | wc -l)" 1
  expect_equal "$*: left behind" "$(ls sockets)" ''
}
disk=(-s 9,virtio-blk,a.img)

# --- what is refused
refused 64 '--serve vfio: not a way to serve; give vfio-user=<dir>, vhost-user=<dir> or nbd=<dir>, like --serve vhost-user=/run/acrn' --serve vfio "${disk[@]}" vm1
refused 64 '--serve vfio-user=: not a way to serve' --serve vfio-user= "${disk[@]}" vm1
refused 64 'there is nothing to serve; give a disk' --serve vfio-user=sockets vm1
for option in '-m 1G' '--cpus 2' '--cpu_affinity 0' '-k k' '-E e' '--ovmf o' '-r r' '-B b' '-l com1,stdio' '--hypervisor kvm' \
  '--debugexit' '--stop_timeout 5'; do
  # shellcheck disable=SC2086
  refused 64 "${option%% *}: --serve makes no machine; remove one of the two" --serve vfio-user=sockets $option "${disk[@]}" vm1
done
long=$(printf 'x%.0s' {1..100})
refused 64 "a socket's path at most 107; give a shorter folder" --serve "vfio-user=$long" "${disk[@]}" vm1
refused 66 'none/vm1.9.0.sock: No such file or directory' --serve vfio-user=none "${disk[@]}" vm1
refused 66 'virtio-blk missing.img: cannot be opened: No such file or directory' --serve vfio-user=sockets -s 8,virtio-blk,b.img -s 9,virtio-blk,missing.img vm1
: >sockets/vm1.9.0.sock
run "$dm" --serve vfio-user=sockets "${disk[@]}" vm1
expect_equal 'a file in the way: exit status' "$status" 66
expect_contains 'a file in the way' "$err" 'there is something that is not a socket'
rm sockets/vm1.9.0.sock

# --- what it would do
run "$dm" --dry_run --serve vfio-user=sockets "${disk[@]}" -s 1:9:2,virtio-blk,b.img vm1
expect_equal 'dry run: exit status' "$status" 0
expect_contains 'dry run' "$out" '"vfio_user": "sockets/vm1.9.0.sock"'
expect_contains 'dry run' "$out" '"vfio_user": "sockets/vm1.1.9.2.sock"'
expect_equal 'dry run: sockets' "$(ls sockets)" ''
run "$dm" --dry_run --serve vfio-user=sockets "${disk[@]}" -s 0,hostbridge vm1
expect_contains 'a bridge' "$err" '-s 0:0,hostbridge: not served, since the client has its own; remove it'

# --- two disks, two sockets; a second process is refused, a dead one's sockets are replaced
awaited=sockets/vm1.10.0.sock
serve first.log --serve vfio-user=sockets --cmd_monitor sockets/control "${disk[@]}" -s 10,virtio-blk,b.img,ro vm1
expect_equal 'sockets' "$(cd sockets && stat -c '%n %a' ./*)" './control 600
./vm1.10.0.sock 600
./vm1.9.0.sock 600'
run "$dm" --serve vfio-user=sockets -s 9,virtio-blk,b.img,ro vm1
expect_equal 'a second one: exit status' "$status" 66
expect_contains 'a second one' "$err" 'sockets/vm1.9.0.sock: another process serves it'
run "$dm" --dry_run --serve vfio-user=sockets -s 9,virtio-blk,b.img,ro vm1
expect_equal 'a dry run of it: exit status' "$status" 66
expect_contains 'a dry run of it' "$err" 'sockets/vm1.9.0.sock: another process serves it'
for dry in '' --dry_run; do
  # shellcheck disable=SC2086
  run "$dm" $dry -s 9,virtio-blk,a.img,ro vm2
  expect_equal "an image that is served, $dry: exit status" "$status" 66
  expect_contains "an image that is served, $dry" "$err" '-s 9:0: virtio-blk a.img: bytes 0..1048575 are in use by another disk or process'
done
if command -v socat >/dev/null; then
  ask() { printf '%s\n' "$1" | socat -t 5 - UNIX-CONNECT:sockets/control; }
  expect_contains status "$(ask '{"command": "status"}')" '"vm":"vm1"'
  expect_contains stats "$(ask '{"command": "stats", "arguments": "10"}')" '"source":"b.img"'
  expect_contains pause "$(ask '{"command": "pause"}')" 'there are no virtual CPUs here; ask the VMM that has them'
  truncate -s 2M a.img
  expect_contains resize "$(ask '{"command": "resize", "arguments": "9"}')" '"bytes":2097152'
else
  echo 'skipped: the control socket of a server (socat is not installed)'
fi
{ kill -9 "$pid" && wait "$pid"; } 2>/dev/null # bash has a word to say about that
serve second.log --serve vfio-user=sockets "${disk[@]}" -s 10,virtio-blk,b.img,ro vm1
kill -TERM "$pid"
ended "$pid" 0 SIGTERM
expect_equal 'after SIGTERM' "$(ls sockets)" 'control'
serve third.log --serve vfio-user=sockets "${disk[@]}" -s 10,virtio-blk,b.img,ro vm1
kill -TERM "$pid" && kill -INT "$pid" 2>/dev/null # as timeout sends two; it may have ended already
ended "$pid" 0 'two signals at once'
expect_equal 'messages' "$(cat first.log second.log third.log)" ''

finish
