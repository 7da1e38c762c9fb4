#!/bin/sh
# kill -9 under load: the file system recovers, and what the guest had synced is there.
# COVERS(guest): ends of every kind: `kill -9`
# COVERS(crash): `kill -9` with a real guest's file system: it recovers, and what was synced is there
. "${0%/*}/lib.sh"

ext4 disk.img 48M
job load <<'END'
check 'mount' mount /dev/vda /mnt
rm -f /mnt/*
echo @ready
while :; do dd if=/dev/urandom of=/mnt/load bs=64k count=64 2>/dev/null; done &
i=0
while [ $i -lt 60 ]; do
  dd if=/dev/urandom of=/tmp/file bs=1k count=$((i * 7 % 200 + 1)) 2>/dev/null
  sum=$(sum /tmp/file)
  dd if=/tmp/file of=/mnt/$i bs=64k conv=fsync 2>/dev/null || fail "write $i"
  echo "@synced $i $sum"
  i=$((i + 1))
done
END
rounds='1:writeback:900 2:writethru:500'
[ "$hypervisor" != kvm ] || rounds="$rounds 3:writeback,nocache:1700 4:writethru:1300"
for round in $rounds; do
  vm=round${round%%:*}
  mode=${round#*:}
  cp load.gz $vm.gz
  start $vm -s 9,virtio-blk,disk.img,"${mode%:*}"
  if await $vm '@synced 0'; then
    usleep "${mode#*:}000"
    kill -9 "$pid"
  fi
  ended $vm 137
  expect_recovers disk.img
  count=0
  # The last line may not be all there.
  for entry in $(console $vm | sed -n '$d; s/^@synced \([0-9]*\) \([0-9a-f]\{64\}\)$/\1:\2/p'); do
    expect_equal "$vm: file ${entry%:*}" "$(sum_in disk.img "/${entry%:*}")" "${entry#*:}"
    count=$((count + 1))
  done
  expect_above "$vm: synced files" $count 0
  expect_equal "$vm: in the guest" "$(console $vm | grep FAILED)" ''
done
finish
