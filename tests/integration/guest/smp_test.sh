#!/bin/sh
# Two processors, each with its queue, each queue with its thread.
# COVERS(guest): two vCPUs, two queues, two iothreads, pinned
. "${0%/*}/lib.sh"

truncate -s 8M disk.img
job smp <<'END'
equal 'processors' "$(nproc)" 2
equal 'queues' "$(ls /sys/block/vda/mq | xargs)" '0 1'
equal 'their processors' "$(cat /sys/block/vda/mq/*/cpu_list | xargs)" '0 1'
contains 'interrupts' "$(cat /proc/interrupts)" virtio0-req.1
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
taskset 1 dd if=/tmp/data of=/dev/vda bs=64k conv=notrunc,fsync 2>/dev/null &
taskset 2 dd if=/tmp/data of=/dev/vda bs=64k seek=64 conv=notrunc,fsync 2>/dev/null &
wait
forget
taskset 2 dd if=/dev/vda bs=64k count=32 2>/dev/null | sum >/tmp/first &
taskset 1 dd if=/dev/vda bs=64k skip=64 count=32 2>/dev/null | sum >/tmp/second &
wait
equal 'written by 0, read by 1' "$(cat /tmp/first)" "$(sum /tmp/data)"
equal 'written by 1, read by 0' "$(cat /tmp/second)" "$(sum /tmp/data)"
awk '/virtio0-req/ && $2 + $3 < 10 { print "FAILED: few interrupts: " $0 }' /proc/interrupts
echo @ready
read -r line
END
# Each of the guest's processors on another one of the host, if there are two, and it is for us to say.
pinned='' threads=''
[ "$hypervisor" != kvm ] || [ "$(nproc)" = 1 ] || pinned='--cpu_affinity 1,0' threads='vcpu0:1 vcpu1:0'
# shellcheck disable=SC2086
start smp --cpus 2 $pinned --cmd_monitor smp.sock -s 9,virtio-blk,iothread=2,mq=2,disk.img,writeback
if await smp @ready; then
  for thread in $threads; do
    task=$(grep -lx "${thread%:*}" /proc/"$pid"/task/*/comm)
    expect_equal "host CPU of ${thread%:*}" "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "${task%comm}status")" "${thread#*:}"
  done
  ok 'stats' smp.sock '{"command": "stats", "arguments": "9"}'
  for count in $(echo "$reply" | sed 's/"requests"/\n&/g' | sed -n 's/^"requests":{"read":\([0-9]*\),"write":\([0-9]*\).*/\1 \2/p'); do
    expect_above 'requests of a queue' "$count" 0
  done
  expect_equal 'queues in stats' "$(echo "$reply" | sed 's/"requests"/\n&/g' | grep -c '^"requests"')" 2
  echo >smp.in
fi
ended smp
done_well smp
finish
