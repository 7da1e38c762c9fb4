#!/usr/bin/env bash
# A machine with a working /dev/kvm, on any machine: QEMU emulates an AMD processor with its virtualisation, and
# Debian's cloud kernel runs in it, with a folder of make_root.sh as its root (a copy: what changes there is gone
# with the machine, except for what --get brings back).
#
#   emulated_host.sh run   [options] --root <folder> [--get <path>:<host path>]... -- <command...>
#       One command on this program's stdin and stdout; its exit status is passed on. Input is lines of text.
#   emulated_host.sh start [options] --root <folder> --state <folder> [--owner <pid>] [--lifetime <s>]
#       A machine that stays until stop, until its owner (default: the caller) ends, or for an hour.
#   emulated_host.sh exec  --state <folder> [--timeout <s>] -- <script file, or the script's text>
#       Runs a shell script there (stdin is empty, stdout and stderr together come out here) and passes its exit
#       status on; 124 after the time limit (60 s). One at a time: a second one waits.
#   emulated_host.sh stop  --state <folder> [--get <path>:<host path>]...
#
# options: --cpus <n> (1), --memory <size> (1G), --timeout <s> (run: of the command, 600; start: of the boot, 60),
#          --kernel <folder of get_kernel.sh>, --module <name> (one more, may be repeated),
#          --append <words> (kernel command line, e.g. kvm_amd.npt=0), --room <size> (free space on the root, 1536M)
# Exit status 125: the machine itself failed; what its kernel said is shown. 69: packages cannot be fetched.
source "$(dirname "$0")/lib.sh"

self=$guest_dir/emulated_host.sh
cpus=1 memory=1G timeout='' kernel='' modules=() append='' room=1536M
root='' state='' owner=$PPID lifetime=3600 gets=()
[ $# -ge 1 ] || usage 64
verb=$1
shift
if [ "$verb" != supervise ]; then
  while [ $# -gt 0 ]; do
    case $1 in
      --) shift; break ;;
      --help) usage 0 ;;
      --*) [ $# -ge 2 ] || usage 64 ;;&
      --cpus) cpus=$2 ;;
      --memory) memory=$2 ;;
      --timeout) timeout=$2 ;;
      --kernel) kernel=$2 ;;
      --module) modules+=("$2") ;;
      --append) append=$2 ;;
      --room) room=$2 ;;
      --root) root=$2 ;;
      --state) state=$2 ;;
      --owner) owner=$2 ;;
      --lifetime) lifetime=$2 ;;
      --get) gets+=("$2") ;;
      *) usage 64 ;;
    esac
    shift 2
  done
fi

# The state folder: disk.img, agent.in and agent.out (the third serial port), console (what the kernel says),
# qemu.log, qemu.pid, supervisor.pid, lock.
process() { cat "$state/$1.pid" 2>/dev/null || echo 0; }
# Is the process of that name alive, and still the one that was started?
alive() { tr '\0' ' ' 2>/dev/null <"/proc/$(process "$1")/cmdline" | grep -qF "$state"; }
ended() { # ended <name> <tenths of a second>
  local i
  for ((i = 0; i < $2; ++i)); do
    alive "$1" || return 0
    sleep 0.1
  done
  ! alive "$1"
}
broken() {
  say "$*"
  tail -n 40 "$state/qemu.log" "$state/console" 2>/dev/null | sed 's/^/  /' >&2 || true
  exit 125
}

# Leaves the arguments of QEMU in $qemu. $1 is the console's chardev.
prepare() {
  local initrd used name key
  need qemu-system-x86 busybox-static cpio kmod e2fsprogs
  [ -d "$root/usr/bin" ] || die 64 "--root needs a folder of make_root.sh"
  [ -n "$kernel" ] || kernel=$("$guest_dir/get_kernel.sh" linux-image-cloud-amd64 "$guest_cache")
  [ -e "$kernel/release" ] || die 66 "'$kernel' is not a folder of get_kernel.sh"

  # Made once for a kernel and a set of modules. The full kernel's kvm-amd needs ccp, and its ext4 is a module.
  modules=(virtio_pci virtio_blk ext4 kvm-amd "${modules[@]}")
  key=$(printf '%s ' "${modules[@]}" | md5sum)
  initrd=$kernel/emulated_host.${key%% *}.gz
  if ! [ "$initrd" -nt "$guest_dir/emulated_host.init" ] || ! [ "$initrd" -nt "$guest_dir/make_initrd.sh" ] ||
    ! [ "$initrd" -nt "$guest_dir/lib.sh" ]; then
    local arguments=()
    for name in "${modules[@]}"; do
      arguments+=(--module "$name")
    done
    "$guest_dir/make_initrd.sh" "$initrd" --kernel "$kernel" --init "$guest_dir/emulated_host.init" "${arguments[@]}"
  fi

  used=$(du -sB1M "$root" | cut -f 1)
  truncate -s $((used + used / 8 + 32))M "$state/disk.img"
  truncate -s +"$room" "$state/disk.img"
  mkfs.ext4 -q -F -O ^has_journal,^resize_inode -m 0 -E lazy_itable_init=1,root_owner=0:0 -d "$root" "$state/disk.img" \
    >"$state/qemu.log" 2>&1 || broken "cannot make the root file system"
  mkfifo "$state/agent.in" "$state/agent.out"

  # With several processors QEMU must run them on one thread: on more, one of them sooner or later misses a patch that the
  # kernel makes to its own code (KVM makes some whenever a guest begins or ends). Guests of two work on one, too.
  local threads=multi
  [ "$cpus" = 1 ] || threads=single
  # The kernel's first measure of its TSC, which KVM takes, may differ by more than KVM's 250 ppm from the refined one;
  # without a tolerance, such a machine's guests have a clock that stands still and no timer interrupts.
  # What the kernel would measure, calibrate or test at its start is said on its command line.
  qemu=(setpriv --pdeathsig KILL qemu-system-x86_64 -name emulated-host -nodefaults -no-user-config -display none -no-reboot
    -machine q35 -accel "tcg,thread=$threads" -cpu 'qemu64,+svm,+npt' -smp "$cpus" -m "$memory"
    -chardev "$1" -serial chardev:terminal
    -chardev "file,id=kernel,path=$state/console" -serial chardev:kernel
    -chardev "pipe,id=agent,path=$state/agent" -serial chardev:agent
    -drive "file=$state/disk.img,format=raw,if=none,id=root,cache=unsafe" -device 'virtio-blk-pci,drive=root'
    -kernel "$kernel/vmlinuz" -initrd "$initrd"
    -append "console=ttyS1 quiet panic=-1 mitigations=off tsc=reliable no_timer_check lpj=4000000 nokaslr kvm.tsc_tolerance_ppm=100000 cryptomgr.notests audit=0 apparmor=0 $append")
}

# request <text>: to the agent; never longer than a few seconds, even if nobody reads.
# shellcheck disable=SC2016
request() { timeout -k 1 10 bash -c 'cat >"$1"' - "$state/agent.in"; }

# The agent says that it is there within so many seconds, or this fails.
ready_within() {
  local line='' end=$((SECONDS + $1)) in
  exec {in}<>"$state/agent.out"
  while [ "$line" != @ready ]; do
    read -r -t 0.2 -u "$in" line || alive qemu || broken "the machine ended before it was ready"
    [ "$SECONDS" -lt "$end" ] || return 1
  done
  exec {in}>&-
}
# boot <seconds>: launch(), until it is ready. Now and then such a machine stands still before its kernel has said anything,
# under load twice in a row; it is launched again then.
boot() {
  local try
  for try in 1 2 3; do
    launch
    ready_within $(($1 / 3)) && return
    kill -KILL "$(process qemu)" 2>/dev/null || true
    ended qemu 30 && ended supervisor 30 || broken "the machine is not ready after $(($1 / 3)) s (time $try), and does not end"
  done
  launch
  ready_within "$1" || broken "the machine is not ready after $1 s"
}

# job <script> <seconds> <agent|pipe|terminal>: runs it, passes its output on, leaves $status.
job() {
  local word
  word=$$.$RANDOM$RANDOM
  rm -f "$state/status"
  # Whatever an earlier client did not read comes before the first line, and is dropped.
  timeout -k 1 $(($2 + 20)) sed -u -n "0,/^@begin $word\$/d
    /@end $word [0-9]*\$/{
      h
      s/^.*@end $word //w $state/status
      g
      s/@end $word [0-9]*\$//
      /./p
      q
    }
    p" <"$state/agent.out" &
  local reader=$!
  { printf 'run %s %s %s %s\n' "$word" "$2" "$(stat -c %s "$1")" "$3" && cat "$1"; } | request ||
    broken "the machine takes no script"
  # Now and then such a machine misses its timer's interrupt and sleeps on; any input wakes it, and the agent skips empty lines.
  # To wait is the shell's own work: a program would outlive it, with the lock.
  local never nudge
  exec {never}<> <(:)
  while kill -0 "$reader"; do
    read -r -t 5 -u "$never" _ || echo | request || true
  done >/dev/null 2>&1 &
  nudge=$!
  wait "$reader" || true
  kill "$nudge" 2>/dev/null || true
  exec {never}>&-
  status=$(cat "$state/status" 2>/dev/null || true)
  [ -n "$status" ] || broken "the machine gave no answer"
}

# Ends the machine, in good order if it can.
end_machine() {
  local name
  if alive qemu; then
    echo stop | request 2>/dev/null || true
    ended qemu 100 || say "the machine does not stop by itself"
  fi
  for name in qemu supervisor; do
    ! alive $name || kill "$(process $name)" 2>/dev/null || true
    ended $name 30 || kill -KILL "$(process $name)" 2>/dev/null || true
  done
}

fetch() {
  local get from to
  for get in "${gets[@]}"; do
    from=${get%%:*} to=${get#*:}
    rm -f "$to"
    # debugfs does not tell by its exit status. Quotes: its own.
    debugfs -R "dump \"$from\" \"$to\"" "$state/disk.img" >/dev/null 2>"$state/debugfs" || true
    ! grep -v '^debugfs [0-9]' "$state/debugfs" | grep -q . || {
      rm -f "$to"
      say "no $from to get: $(grep -v '^debugfs [0-9]' "$state/debugfs" | head -n 1)"
      [ "$status" != 0 ] || status=125
    }
  done
}

starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

case $verb in
  run)
    [[ -n $root && $# -ge 1 ]] || usage 64
    state=$(mktemp -d "${TMPDIR:-/tmp}/emulated-host-XXXXXX")
    # shellcheck disable=SC2317
    finish() {
      trap - EXIT
      ! alive qemu || kill -KILL "$(process qemu)" 2>/dev/null || true # it may be ending
      [ -z "${feeder:-}" ] || kill "$feeder" 2>/dev/null || true
      rm -rf "$state"
    }
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    prepare stdio,id=terminal,signal=off
    printf 'cd /root; exec' >"$state/script"
    printf " '%s'" "${@//\'/\'\\\'\'}" >>"$state/script"
    # Words that a terminal needs, and nothing else, go through a terminal.
    if [ -t 0 ] && [ -t 1 ]; then
      where=terminal
      exec {in}<&0
    else
      where=pipe
      mkfifo "$state/stdin"
      exec {in}<>"$state/stdin"
    fi
    launch() {
      "${qemu[@]}" <&"$in" 2>"$state/qemu.log" &
      echo $! >"$state/qemu.pid"
    }
    boot 60
    if [ $where = pipe ]; then
      # The end of the input, to a terminal: twice, in case that the last line has no line feed.
      (setpriv --pdeathsig TERM cat && printf '\004\004') <&0 >&"$in" 2>/dev/null &
      feeder=$!
    fi
    job "$state/script" "${timeout:-600}" $where
    end_machine
    fetch
    exit "$status"
    ;;
  start)
    [[ -n $root && -n $state ]] || usage 64
    mkdir -p "$state"
    state=$(cd "$state" && pwd)
    ! alive qemu || die 64 "there is a machine in $state already"
    rm -f "$state"/{agent.in,agent.out,disk.img,console,qemu.log,qemu.pid,supervisor.pid,status}
    prepare null,id=terminal
    launch() {
      rm -f "$state/qemu.pid"
      setsid "$self" supervise "$state" "$owner" "$(starttime "$owner")" "$lifetime" "${qemu[@]}" \
        </dev/null >>"$state/qemu.log" 2>&1 &
      for ((i = 0; i < 100; ++i)); do
        [ ! -s "$state/qemu.pid" ] || break
        sleep 0.05
      done
    }
    trap end_machine EXIT
    boot "${timeout:-60}"
    trap - EXIT
    ;;
  supervise) # internal: <state> <owner> <its start time> <lifetime> <QEMU...>
    state=$1 owner=$2 since=$3 lifetime=$4
    shift 4
    echo $$ >"$state/supervisor.pid"
    trap 'exit 143' TERM INT HUP
    "$@" &
    echo $! >"$state/qemu.pid"
    trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT
    while [ -n "$(jobs -r)" ] && [ "$(starttime "$owner")" = "$since" ] && [ "$SECONDS" -lt "$lifetime" ]; do
      sleep 0.3
    done
    ;;
  exec)
    [[ -n $state && $# = 1 ]] || usage 64
    state=$(cd "$state" && pwd)
    exec {lock}>"$state/lock"
    flock "$lock"
    alive qemu || broken "there is no machine in $state"
    if [ -f "$1" ]; then
      cat "$1"
    else
      printf '%s\n' "$1"
    fi >"$state/script"
    job "$state/script" "${timeout:-60}" agent
    exit "$status"
    ;;
  stop)
    [ -n "$state" ] || usage 64
    [ -d "$state" ] || exit 0
    state=$(cd "$state" && pwd) status=0
    end_machine
    [ ${#gets[@]} = 0 ] || fetch
    rm -f "$state"/{agent.in,agent.out,disk.img,qemu.pid,supervisor.pid,script,status,debugfs,lock}
    exit "$status"
    ;;
  *) usage 64 ;;
esac
