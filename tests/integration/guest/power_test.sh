#!/bin/sh
# The power button, and the clock that wakes: a guest that is asked powers off by itself, one that does not is ended when its time is up, and one that
# does not listen is not waited for.
# COVERS(guest): the power button: SIGTERM and `stop` with --stop_timeout; a guest that does not power off; one without ACPI
. "${0%/*}/lib.sh"

truncate -s 1M disk.img
disk=9,virtio-blk,disk.img,writeback
job asked <<'END'
equal 'the button' "$(cat /sys/class/input/event0/device/name)" 'Power Button'
exec 3</dev/input/event0 # who opens it later has missed the press
echo @ready
head -c 1 <&3 >/dev/null
echo @pressed
fill /dev/vda 256
END
ask_stop() { echo '{"command":"stop"}' | socat -t 5 - UNIX-CONNECT:control >/dev/null; }
for way in 'kill -TERM' ask_stop; do
  : >asked.console
  start asked --stop_timeout 60 --cmd_monitor control -s $disk
  # shellcheck disable=SC2046
  await asked @ready && $way $([ "$way" = ask_stop ] || echo "$pid")
  ended asked
  done_well asked
  expect_equal "$way: presses" "$(console asked | grep -c @pressed)" 1
done

job deaf <<'END'
cat /dev/input/event0 >/dev/null &
echo @ready
sleep 1000
END
start deaf --stop_timeout 1 -s $disk
await deaf @ready && kill -TERM "$pid"
wait "$pid"
expect_equal 'a guest that does not power off: exit status' $? 0
expect_contains 'what is said of it' "$(cat deaf.err)" 'the guest has not powered off within 1 s; the VM ends'

# The clock's alarm, which hwclock waits for and rtcwake sets.
job alarm <<'END'
interrupts() { awk '$1 == "8:" { print $2 }' /proc/interrupts; }
before=$(interrupts)
echo +2 >/sys/class/rtc/rtc0/wakealarm
tries=0
while [ "$(interrupts)" = "$before" ] && [ $tries -lt 100 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
[ "$(interrupts)" -gt "$before" ] || fail "no interrupt of the clock: $(cat /proc/interrupts)"
END
boot alarm -s $disk

append=acpi=off
job early <<'END'
echo @ready
sleep 1000
END
start early --stop_timeout 1000 -s $disk
await early @ready && kill -TERM "$pid"
ended early
finish
