#!/bin/sh
# Memory that the disk cannot reach: QEMU is refused, with the reason; a piece that is plugged in later makes I/O errors in
# the guest, never wrong data or lost writes.
# COVERS(guest): memory that is not shared is refused; a DIMM that is not makes I/O errors, never wrong data or lost
#   writes
. "${0%/*}/lib.sh"

limit=60
head -c 8M /dev/urandom >disk.img
truncate -s 32M written.img

# What QEMU's memory backends are without share=on.
for backend in "memory-backend-file,mem-path=$PWD/private" memory-backend-ram; do
  serve disks -s 9,virtio-blk,disk.img,ro
  # shellcheck disable=SC2046
  machine refused $(plug disks 9)
  wait "$pid" && fail "$backend: QEMU starts"
  rm -f refused.pid
  served_with_warnings disks
  expect_contains "$backend: log" "$(cat disks.err)" share=on
done

# Half of what is read goes to the memory that was there, half to the other.
job hotplug <<'END'
cat /dev/vda >/copy
total=$(grep MemTotal /proc/meminfo)
echo "@plug"
while [ "$(grep MemTotal /proc/meminfo)" = "$total" ]; do usleep 50000; done
good=0 bad=0
for round in 1 2 3 4 5 6; do
  echo 3 >/proc/sys/vm/drop_caches
  if cat /dev/vda >/again 2>/dev/null; then
    cmp -s /copy /again || echo "FAILED: other data was read, without an error"
    good=$((good + 1))
  else
    bad=$((bad + 1))
  fi
done
echo "@reads $good good, $bad failed"
[ $bad != 0 ] || echo "FAILED: no read has failed"
# Each block that was written and made stable without an error is on the disk.
block=0
while [ $block -lt 256 ]; do
  if dd if=/copy of=/dev/vdb bs=64k count=1 seek=$block skip=$((block % 32)) conv=fsync,notrunc 2>/dev/null; then
    echo "@written $block"
  fi
  block=$((block + 1))
done
END
backend=memory-backend-memfd,share=on room=,slots=2,maxmem=1G append="memhp_default_state=online"
serve disks -s 9,virtio-blk,disk.img,ro -s 10,virtio-blk,written.img,writeback
# shellcheck disable=SC2046
start hotplug $(plug disks 9) $(plug disks 10)
if await hotplug @plug; then
  qmp object-add '{"qom-type":"memory-backend-ram","id":"more","size":268435456}'
  qmp device_add '{"driver":"pc-dimm","id":"dimm","memdev":"more"}'
fi
ended hotplug
done_well hotplug
stats=$(echo '{"command":"stats"}' | socat -t 5 - UNIX-CONNECT:disks.sock)
expect_contains 'whose fault it is' "$stats" '"vmm_mistakes":{"memory-unreachable":'
expect_contains 'log' "$(cat disks.err)" 'memory 0x100000000..0x10fffffff is out of reach for a disk'
expect_contains 'log' "$(cat disks.err)" 'VMM mistake memory-unreachable'
served_with_warnings disks
for block in $(sed -n 's/^@written \([0-9]*\).*/\1/p' hotplug.console); do
  cmp -s -n 65536 disk.img written.img -i $((block % 32 * 65536)):$((block * 65536)) || fail "the write of block $block is lost"
done
finish
