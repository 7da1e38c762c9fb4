# Shared by the guest tests: a folder of their own, guests to start, checks that say what failed and go on.
# shellcheck shell=sh
# They run with busybox's shell and programs, in the emulated host or where KVM is usable, see host.sh.
# $ACRN_GUEST: the folder with kernels, initramfs and images; acrn-dm and socat are in PATH.
# $ACRN_GUEST_HYPERVISOR: kvm, acrn with a stand-in, or driver: acrn with Linux's own module, see host.sh.
set -u
export LC_ALL=C

name=$(basename "$0" .sh)
failures=0 pid=''
work=$(mktemp -d "${TMPDIR:-/var/tmp}/guest-XXXXXX") || exit 1
cd "$work" || exit 1
leave() {
  trap - EXIT
  for running in *.pid; do
    [ ! -e "$running" ] || kill -9 "$(cat "$running")" 2>/dev/null
  done
  cd / && rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' TERM INT HUP

fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$*"
}
# expect <what> <command...>
expect() {
  what=$1
  shift
  "$@" >command.log 2>&1 || fail "$what: $* ($?): $(tail -n 5 command.log)"
}
# expect_equal <what> <got> <expected>
expect_equal() { [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"; }
# expect_contains <what> <text> <part>
expect_contains() {
  case $2 in
    *"$3"*) ;;
    *) fail "$1: no '$3' in: $2" ;;
  esac
}
# expect_above <what> <got> <less>
expect_above() { [ "${2:-0}" -gt "$3" ] || fail "$1: got '$2', expected more than $3"; }

# ext4 <image> <size>: with blocks of a page. With smaller ones a Linux that is killed can leave a file's size behind its
# last block, which its journal does not mend.
ext4() { truncate -s "$2" "$1" && expect "$1" mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 "$1"; }
# After a crash: what the journal's replay leaves needs nobody's decision, and is clean then.
expect_recovers() {
  e2fsck -p "$1" >command.log 2>&1
  [ $? -le 1 ] || fail "$1: e2fsck -p: $(tail -n 5 command.log)"
  expect_clean "$1"
}
expect_clean() { expect "$1 is a clean file system" e2fsck -fn "$1"; }
sum() { sha256sum "$1" | cut -d ' ' -f 1; }
# sum_in <image> <path>: of a file in an ext4 image
sum_in() { debugfs -R "cat $2" "$1" 2>/dev/null | sha256sum | cut -d ' ' -f 1; }

# job <vm> [<line>...]: an initramfs for that VM, which runs the script on stdin, see guest.init; lines that know more
# than the script come before it.
job() {
  mkdir -p "$1.files"
  vm=$1
  shift
  { [ $# = 0 ] || printf '%s\n' "$@"; cat; } >"$vm.files/job"
  (cd "$vm.files" && echo job | cpio -o -H newc 2>/dev/null) | gzip -1 | cat "${base:-$ACRN_GUEST/base.gz}" - >"$vm.gz"
}

# start <vm> [<option of acrn-dm>...]: leaves $pid; <vm>.console is what the guest prints, what is written to <vm>.in
# comes to it as input. Without job there is no ramdisk. $append: for the kernel's command line. $firmware: it starts the VM,
# and not $kernel. $preload: a library for acrn-dm. Over Linux's own ACRN module it is confined; what stands in for the
# module inside of the process is not. The time limit kills it, status 137.
append='' preload='' limit=60 memory=256M kernel=$ACRN_GUEST/vmlinuz firmware='' hypervisor=${ACRN_GUEST_HYPERVISOR:-kvm}
start() {
  vm=$1
  shift
  rm -f "$vm.in"
  mkfifo "$vm.in"
  : >"$vm.console"
  libraries=$preload
  [ "$hypervisor" != acrn ] || libraries="$ACRN_GUEST/libhsm_on_kvm.so $preload"
  [ "$hypervisor" != driver ] || set -- --sandbox on "$@"
  if [ -n "$firmware" ]; then
    set -- --ovmf "$firmware" "$@"
  else
    [ ! -e "$vm.gz" ] || set -- -r "$vm.gz" "$@"
    set -- -k "$kernel" -B "console=ttyS0 quiet $append" "$@"
  fi
  LD_PRELOAD=$libraries timeout -s KILL "$limit" acrn-dm -m "$memory" -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio "$@" "$vm" \
    <>"$vm.in" >"$vm.console" 2>"$vm.err" &
  pid=$!
  echo $pid >"$vm.pid"
}
# expect_confined <vm>: all of its threads
expect_confined() {
  for thread in /proc/"$(cat "$1.pid")"/task/*; do
    expect_equal "$1: capabilities and filter of $(cat "$thread/comm")" \
      "$(awk '/^(CapEff|Seccomp):/ { print $2 }' "$thread/status" | xargs)" '0000000000000000 2'
  done
}
console() { tr -d '\r' <"$1.console"; }
running() {
  case $(cat "/proc/$(cat "$1.pid")/stat" 2>/dev/null) in
    '' | *') Z '*) return 1 ;;
  esac
}
# await <vm> <text> [<times>]: until the guest has printed it.
await() {
  tries=0
  until [ "$(grep -cF "$2" "$1.console")" -ge "${3:-1}" ]; do
    tries=$((tries + 1))
    if ! running "$1" || [ $tries -gt 600 ]; then
      fail "$1: the guest did not say '$2'"
      return 1
    fi
    usleep 50000
  done
}
# ended <vm> [<status>]: waits for its end, and looks at the status and at what it had to say. That ACRN's guests are slow
# without huge pages is the host's.
ended() {
  wait "$(cat "$1.pid")"
  expect_equal "$1: exit status" $? "${2:-0}"
  rm -f "$1.pid"
  expect_equal "$1: on stderr" "$(grep -v ' in small pages' "$1.err")" ''
}
# done_well <vm>: the job came to its end, and no check in it failed.
done_well() {
  console "$1" | grep -q '^@done' || fail "$1: the guest did not get to its job's end"
  console "$1" | grep FAILED >failed && while read -r line; do
    fail "$1: in the guest: ${line#*FAILED: }"
  done <failed
}
# boot <vm> [<option>...]: start, ended and done_well
boot() {
  start "$@"
  ended "$1"
  done_well "$1"
}
# said <vm> <word>: what the guest printed after "@<word> "
said() { console "$1" | sed -n "s/^@$2 //p"; }

# Linux's ACRN driver, and what plays the hypervisor beneath it. At the end nobody uses them, and the kernel has not complained.
load_driver() {
  rmmod acrn acrn_hypercalls 2>/dev/null
  dmesg -c >/dev/null
  insmod "$ACRN_GUEST/acrn_hypercalls.ko" && insmod "$ACRN_GUEST/acrn.ko" || { fail 'the ACRN driver is not taken' && finish; }
  acrn_hypervisor 2>hypervisor.log &
  echo $! >hypervisor.pid
}
unload_driver() {
  rmmod acrn || fail 'the ACRN driver is still in use'
  kill "$(cat hypervisor.pid)"
  wait "$(cat hypervisor.pid)"
  rm hypervisor.pid
  expect_equal 'the hypervisor beneath' "$(cat hypervisor.log)" ''
  rmmod acrn_hypercalls || fail 'hypercalls are still waited for'
  expect_equal 'the kernel' "$(dmesg | grep -iE 'BUG|WARNING|Call Trace|acrn_hsm')" ''
}
[ "$hypervisor" != driver ] || load_driver

# control <socket> <request>: prints the reply
control() { echo "$2" | timeout 20 socat -t 15 - "UNIX-CONNECT:$1"; }
# ok <what> <socket> <request>: leaves $reply
ok() {
  reply=$(control "$2" "$3")
  expect_contains "$1" "$reply" '"ok":true'
}

skipped() {
  printf 'skipped: %s\n' "$*"
  exit 77
}
finish() {
  [ ! -e hypervisor.pid ] || unload_driver
  if [ $failures = 0 ]; then
    echo "all checks passed"
    exit 0
  fi
  for log in *.console; do
    [ -s "$log" ] || continue
    vm=${log%.console}
    echo "--- ${log%.console}: the console's last lines"
    console "$vm" | tail -n 60
    [ ! -s "$vm.err" ] || { echo "--- $vm: stderr" && cat "$vm.err"; }
  done
  echo "$failures check(s) failed"
  exit 1
}
