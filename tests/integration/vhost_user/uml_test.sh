#!/usr/bin/env bash
# A real kernel with its own virtio_blk driver, User Mode Linux, uses two disks over vhost-user: file system, discard, a disk
# that grows, a driver that comes and goes, a reboot. Usage: uml_test.sh <acrn-dm> <source folder>
# COVERS(guest): User Mode Linux over vhost-user: mkfs, mount, checksums, fsck, discard, resize, unbind and bind, reboot
. "$(dirname "$0")/lib.sh"
uml=$("$source/samples/guest/get_uml.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
cat "$source/tests/integration/guest/guest.init" >init
cat >job <<'END'
dd if=/dev/vda of=/tmp/mark bs=512 skip=131000 count=1 2>/dev/null
if grep -q 'second boot' /tmp/mark; then
  equal 'size after a reboot' "$(cat /sys/block/vda/size)" 163840
  check 'mount after a reboot' mount -t ext4 /dev/vda /mnt
  equal 'what was written before the reboot' "$(sum /mnt/file)" "$(cat /mnt/sum)"
  check 'umount' umount /mnt
  return
fi
equal 'capacity' "$(cat /sys/block/vda/size)" 131072
equal 'serial' "$(cat /sys/block/vda/serial)" DISK01
equal 'the other disk is read-only' "$(cat /sys/block/vdb/ro)" 1
equal 'the other disk' "$(sum /dev/vdb)" "$other"
fill /dev/vda 8192

check 'discard' blkdiscard -o 1048576 -l 1048576 /dev/vda
equal 'what was discarded' "$(dd if=/dev/vda bs=64k skip=16 count=16 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" 0

check 'mkfs' mke2fs -F -b 4096 /dev/vda
check 'mount' mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null
sum /mnt/file >/mnt/sum
check 'umount' umount /mnt

driver=/sys/bus/virtio/drivers/virtio_blk
device=$(basename "$(realpath /sys/block/vda/device)")
echo "$device" >$driver/unbind
refuse 'no disk without its driver' test -e /sys/block/vda
echo "$device" >$driver/bind
check 'mount after bind' mount -t ext4 /dev/vda /mnt
equal 'what was written before' "$(sum /mnt/file)" "$(cat /mnt/sum)"
check 'umount' umount /mnt

echo @grow
for i in $(seq 300); do
  [ "$(cat /sys/block/vda/size)" = 131072 ] || break
  usleep 100000
done
equal 'the disk has grown' "$(cat /sys/block/vda/size)" 163840
printf 'second boot' | dd of=/dev/vda bs=512 seek=131000 conv=notrunc,sync 2>/dev/null
sync
echo @reboot
reboot -f
END
truncate -s 64M disk.img
dd if=/dev/urandom of=other.img bs=1M count=4 2>/dev/null
sed -i "s/\$other/$(sha256sum other.img | cut -d ' ' -f 1)/" job
"$source/samples/guest/make_initrd.sh" vm.gz --kernel "$uml" --init init --file "$work/job:/job" --module virtio_blk || fail 'make_initrd.sh'

"$acrn_dm" --serve vhost-user=. --cmd_monitor control -s 9,virtio-blk,disk.img,writeback,discard,serial=DISK01 \
  -s 10,virtio-blk,other.img,ro vm1 >server.out 2>server.err &
server=$!
until [ -S vm1.9.0.sock ] && [ -S vm1.10.0.sock ]; do
  kill -0 $server 2>/dev/null || fail "acrn-dm does not serve: $(cat server.err)"
  [ "$failures" = 0 ] || finish
done

timeout -k 5 100 "$uml/linux" mem=128M initrd=vm.gz con=null con0=null,fd:1 quiet virtio_uml.device=vm1.9.0.sock:2 \
  virtio_uml.device=vm1.10.0.sock:2 </dev/null >console 2>&1 &
guest=$!
until grep -q '^@grow' console || ! kill -0 $guest 2>/dev/null; do read -rt 0.1 <> <(:); done
truncate -s 80M disk.img
printf '{"command":"resize","arguments":"9"}\n' | timeout 5 socat -t 5 - UNIX-CONNECT:control >resized || fail 'resize'
expect_contains 'the answer to resize' "$(cat resized)" 83886080
wait $guest
expect_equal "the kernel's exit status" $? 0
grep '^FAILED' console && failures=$((failures + 1))
expect_equal 'boots' "$(grep -c '^@done' console)$(grep -c '^@reboot' console)" 11

kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
expect_equal 'on stderr' "$(cat server.err)" ''
expect_equal 'sockets left' "$(find . -name '*.sock')" ''
run e2fsck -fn disk.img
expect_equal "fsck on the host: $out" "$status" 0
[ "$failures" = 0 ] || tail -n 40 console
finish
