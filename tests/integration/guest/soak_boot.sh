#!/bin/sh
# One boot with a checker of data, for boots.sh: a guest of two CPUs writes, reads back by two ways, and powers off.
#   ACRN_GUEST_HYPERVISOR: kvm, driver (Linux's own ACRN module), or qemu: QEMU's own machine under the same KVM
. "${0%/*}/lib.sh"
base=$ACRN_GUEST/newer/base.gz kernel=$ACRN_GUEST/newer/vmlinuz limit=100
[ -e "$kernel" ] || base=$ACRN_GUEST/base.gz kernel=$ACRN_GUEST/vmlinuz
seed=$$-$(cat /proc/uptime)
truncate -s 32M disk.img
job soak "seed='$seed'" <<'END'
equal 'CPUs' "$(grep -c ^processor /proc/cpuinfo)" 2
stream() { yes "$seed $1" | head -c 8388608; }
for part in 0 1 2; do
  stream $part | dd of=/dev/vda bs=64k seek=$((part * 128)) conv=notrunc,fsync 2>/dev/null &
done
wait
echo 3 >/proc/sys/vm/drop_caches
for part in 0 1 2; do
  expected=$(stream $part | sha256sum)
  equal "part $part" "$(dd if=/dev/vda bs=64k skip=$((part * 128)) count=128 2>/dev/null | sha256sum)" "$expected"
  equal "part $part, past the cache" \
    "$(dd if=/dev/vda bs=64k skip=$((part * 128)) count=128 iflag=direct 2>/dev/null | sha256sum)" "$expected"
done
END
if [ "$hypervisor" = qemu ]; then
  timeout -s KILL $limit qemu-system-x86_64 -machine pc,accel=kvm -cpu host -smp 2 -m "$memory" -nodefaults \
    -display none -serial stdio -no-reboot -kernel "$kernel" -initrd soak.gz -append 'console=ttyS0 quiet' \
    -drive file=disk.img,format=raw,if=virtio,cache=writethrough >soak.console 2>soak.err </dev/null
  echo $? >soak.status
else
  boot soak --cpus 2 -s 9,virtio-blk,disk.img
fi
done_well soak
for part in 0 1 2; do
  expect_equal "part $part of the file" "$(dd if=disk.img bs=64k skip=$((part * 128)) count=128 2>/dev/null | sha256sum)" \
    "$(yes "$seed $part" | head -c 8388608 | sha256sum)"
done
[ $failures = 0 ] || { tail -n 40 soak.console soak.err; }
finish
