# Shared by the vfio-user tests: acrn-dm serves disks, QEMU plugs them in. Goes on from the guest tests' helpers.
# shellcheck shell=sh
# $1: the folder that setup.sh made.
export ACRN_GUEST="$1" PATH="$1/bin:$PATH:/usr/sbin:/sbin"
[ ! -e "$1/skipped" ] || {
  cat "$1/skipped"
  exit 77
}
# shellcheck source=../guest/lib.sh
. "${0%/*}/../guest/lib.sh"

usleep() { busybox usleep "$1"; }
# until_true <tenths of a second> <command...>
until_true() {
  tries=$1
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    usleep 100000
  done
}
# ended_within <tenths of a second> <name>: else it is killed.
stopped() { ! running "$1"; }
ended_within() {
  until_true "$1" stopped "$2" && return
  fail "$2 does not end"
  kill -9 "$(cat "$2.pid")"
}

# serve <name> [<option of acrn-dm>...]: each function of -s is at <name>.<slot>.0.sock, the control socket is <name>.sock.
serve() {
  server=$1
  shift
  setpriv --pdeathsig KILL acrn-dm --serve vfio-user=. --cmd_monitor "$server.sock" "$@" "$server" >"$server.out" 2>"$server.err" &
  echo $! >"$server.pid"
  for word; do
    case $word in
      *,virtio-blk*) until_true 100 test -S "$server.${word%%,*}.0.sock" || fail "no socket for $word: $(cat "$server.err")" ;;
    esac
  done
}
# served <name>: ends it, in good order and without a word.
served() {
  served_with_warnings "$1"
  expect_equal "$1: on stderr" "$(cat "$1.err")" ''
}
served_with_warnings() {
  running "$1" || fail "$1 is gone"
  kill "$(cat "$1.pid")"
  ended_within 50 "$1"
  wait "$(cat "$1.pid")"
  expect_equal "$1: exit status" $? 0
  expect_equal "$1: sockets left" "$(find . -type s -name "$1.*")" ''
  rm -f "$1.pid"
}
# device <name> <slot> [<member>...]: QEMU's device for a served function; JSON without blanks, for -device and device_add.
device() {
  printf '{"driver":"vfio-user-pci","socket":{"path":"%s.%s.0.sock","type":"unix"}' "$1" "$2"
  shift 2
  printf ',%s' "$@"
  printf '}'
}
# plug <name> <slot>: as an option
plug() { printf -- '-device %s' "$(device "$1" "$2" "\"addr\":\"$(printf %02x "$2").0\"")"; }

# machine <vm> [<option of QEMU>...]: as start, without a kernel; <vm>.in is its serial port's input, <vm>.qmp.in QMP's.
# `backend`: where the guest's memory is; `room`: what of -m follows its size.
type=pc cpus=1 backend=memory-backend-memfd,share=on room=
machine() {
  vm=$1
  shift
  rm -f "$vm.in" "$vm.qmp.in"
  mkfifo "$vm.in" "$vm.qmp.in"
  : >"$vm.console"
  exec 8<>"$vm.qmp.in"
  echo '{"execute":"qmp_capabilities"}' >&8
  setpriv --pdeathsig KILL qemu-system-x86_64 -machine "$type,memory-backend=ram" -accel tcg -cpu max -smp "$cpus" -m "$memory$room" \
    -object "$backend,id=ram,size=$memory" -nodefaults -no-user-config -display none -serial stdio \
    -chardev "file,id=qmp,path=$vm.qmp,input-path=$vm.qmp.in" -qmp chardev:qmp \
    "$@" <>"$vm.in" >"$vm.console" 2>"$vm.err" &
  pid=$!
  echo $pid >"$vm.pid"
}
# start <vm> [<option of QEMU>...]: with the initramfs of job
start() {
  vm=$1
  shift
  machine "$vm" -kernel "$kernel" -initrd "$vm.gz" -append "console=ttyS0 quiet panic=-1 $append" "$@"
}
# ended <vm> [<status>]
ended() {
  ended_within "$((limit * 10))" "$1"
  wait "$(cat "$1.pid")"
  expect_equal "$1: exit status" $? "${2:-0}"
  rm -f "$1.pid"
  expect_equal "$1: on stderr" "$(cat "$1.err")" ''
}
# answers <vm> <text> [<line>]: until it has printed the text since the last time; then the line is typed.
heard=0
has_printed() { tail -c +$((heard + 1)) "$1.console" | grep -qF "$2"; }
answers() {
  until_true $((limit * 10)) has_printed "$1" "$2" || { fail "$1 does not say '$2'" && return 1; }
  heard=$(stat -c %s "$1.console")
  [ $# = 2 ] || echo "$3" >"$1.in"
}
# qmp <command> [<arguments>]: to the machine that was started last
qmp() { printf '{"execute":"%s","arguments":%s}\n' "$1" "${2:-{\}}" >&8; }
# event <vm> <text> [<times>]: QEMU has reported an event with that text.
has_event() { [ "$(grep '"event"' "$1.qmp" | grep -c "$2")" -ge "$3" ]; }
event() { until_true 100 has_event "$1" "$2" "${3:-1}" || fail "$1: no event $2: $(cat "$1.qmp")"; }
