#!/bin/sh
# Signals under load: the first ends the VM in good order, the second at once.
# COVERS(guest): ends of every kind: signals
# COVERS(Q15): SIGTERM
# COVERS(crash): SIGTERM, SIGINT, SIGHUP under load
. "${0%/*}/lib.sh"

ext4 disk.img 48M
job load <<'END'
check 'mount' mount /dev/vda /mnt
echo @ready
i=0
while :; do
  i=$((i % 8 + 1))
  dd if=/dev/urandom of=/mnt/$i bs=64k count=32 2>/dev/null
  sync
done
END
for signal in TERM INT HUP; do
  cp load.gz $signal.gz
  start $signal -s 9,virtio-blk,disk.img,writeback
  if await $signal @ready; then
    usleep 300000
    kill -$signal "$pid"
  fi
  ended $signal
  expect_equal "$signal: in the guest" "$(console $signal | grep FAILED)" ''
  expect_recovers disk.img
done

# During the start, whatever it is at.
for delay in 0 20000 100000 300000; do
  cp load.gz early.gz
  start early -s 9,virtio-blk,disk.img
  usleep $delay
  kill -TERM "$pid"
  usleep 20000
  kill -TERM "$pid" 2>/dev/null
  wait "$pid"
  status=$?
  case $status in
    0 | 143) ;;
    *) fail "two signals after $delay us: exit status $status: $(cat early.err)" ;;
  esac
done

# Stopped and continued on a terminal, as by a shell's fg: it is raw again, whatever the shell has made of it.
job terminal <<'END'
echo @ready
sleep 1000
END
mkfifo terminal.in
: >terminal.console
LD_PRELOAD=$([ "$hypervisor" != acrn ] || echo "$ACRN_GUEST/libhsm_on_kvm.so") \
  socat EXEC:"acrn-dm -m $memory -s 0\,hostbridge -s 1\,lpc -l com1\,stdio -k $kernel -r terminal.gz -B console=ttyS0 terminal",pty,setsid,ctty \
  - <>terminal.in >terminal.console 2>terminal.err &
echo $! >terminal.pid
is_raw() { stty -F "$tty" -a | grep -q -e -icanon; }
if await terminal @ready; then
  for pid in $(pidof acrn-dm); do # of several processes of the VM, the one that socat has started
    [ "$(cut -d ' ' -f 4 "/proc/$pid/stat")" != "$(cat terminal.pid)" ] || break
  done
  tty=$(readlink "/proc/$pid/fd/0")
  expect 'the terminal is raw' is_raw
  kill -STOP "$pid"
  stty -F "$tty" sane
  is_raw && fail 'the shell does not have the terminal'
  kill -CONT "$pid"
  tries=0
  until is_raw || [ $((tries += 1)) -gt 100 ]; do usleep 50000; done
  expect 'it is raw once more' is_raw
  kill -TERM "$pid"
  wait "$(cat terminal.pid)"
fi

# A disk that stalls in the flush at the end. What no driver has started has nothing to flush.
job stalled <<'END'
echo @ready
sleep 1000
END
preload=$ACRN_GUEST/libslow_sync.so
start stalled -s 9,virtio-blk,disk.img,writeback
await stalled @ready
kill -TERM "$pid"
sleep 2
if running stalled; then
  kill -TERM "$pid"
  usleep 500000
  running stalled && fail 'the second signal did not end it'
else
  fail 'the flush at the end did not stall'
fi
preload=''
kill -KILL "$pid" 2>/dev/null
wait "$pid"
expect_equal 'status of the second signal' $? 143
finish
