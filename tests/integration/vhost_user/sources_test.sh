#!/usr/bin/env bash
# User Mode Linux, with disks that are no plain files: a qcow2 image with a backing file, an export of an NBD server, which is
# killed while the guest writes, a CD, and what a vhost-user back end has. Usage: sources_test.sh <acrn-dm> <source folder>
# COVERS(guest): a guest with a qcow2 image, an NBD export whose server is killed, an ISO file, and a vhost-user back end
. "$(dirname "$0")/lib.sh"
uml=$("$source/samples/guest/get_uml.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
(. "$source/samples/guest/lib.sh" && need qemu-utils nbdkit xorriso) 2>why || skip "$(tail -n 1 why)"
cat "$source/tests/integration/guest/guest.init" >init
cat >job <<'END'
equal 'the backing file is seen' "$(dd if=/dev/vda bs=64k count=16 2>/dev/null | sum)" "$base"
for disk in vda vdb vde; do
  fill /dev/$disk 8192
  check "$disk: discard" blkdiscard -o 1048576 -l 1048576 /dev/$disk
  check "$disk: mkfs" mke2fs -F -b 4096 /dev/$disk
  check "$disk: mount" mount -t ext4 /dev/$disk /mnt
  dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null
  sum /mnt/file >/mnt/sum
  check "$disk: umount" umount /mnt
done
for i in 1 2 3; do echo @writing; fill /dev/vdc 8192; done
equal 'sectors of the CD' "$(cat /sys/block/vdd/queue/logical_block_size)$(cat /sys/block/vdd/ro)" 20481
check 'mount of the CD' mount -t iso9660 -o ro /dev/vdd /mnt
equal 'a file of the CD' "$(sum /mnt/base.bin)" "$base"
END
truncate -s 64M disk.img
head -c 64M /dev/urandom >base.img
qemu-img convert -f raw -O qcow2 base.img base.qcow2 && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2 ||
  fail 'qemu-img'
sed -i "s/\$base/$(head -c 1M base.img | sha256sum | cut -d ' ' -f 1)/" job
"$source/samples/guest/make_initrd.sh" vm.gz --kernel "$uml" --init init --file "$work/job:/job" --module virtio_blk --module isofs || fail 'make_initrd.sh'
mkdir cd && head -c 1M base.img >cd/base.bin
xorriso -outdev cd.iso -map cd / -commit >log 2>&1 || fail "xorriso: $(tail -n 3 log)"
serve_nbd() {
  nbdkit --foreground --exit-with-parent --unix "$1.nbd" file "$1" &
  nbd=$!
  until [ -S "$1.nbd" ] || ! kill -0 $nbd 2>/dev/null; do read -rt 0.05 <> <(:); done
}
truncate -s 64M other.img
serve_nbd disk.img
serve_nbd other.img
truncate -s 64M last.img
"$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,last.img,writeback,discard vm0 2>back_end.err &
back_end=$!
until [ -S vm0.9.0.sock ] || ! kill -0 $back_end 2>/dev/null; do read -rt 0.05 <> <(:); done

"$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,disk.qcow2,format=qcow2,backing=follow,writeback,discard \
  -s "10,virtio-blk,nbd+unix:///?socket=disk.img.nbd,writeback,discard" \
  -s "11,virtio-blk,nbd+unix:///?socket=other.img.nbd" -s 12,virtio-blk,cd.iso,ro,sectorsize=2048 \
  -s 13,virtio-blk,vhost-user:vm0.9.0.sock,writeback,discard vm1 2>server.err &
server=$!
until [ -S vm1.13.0.sock ]; do
  kill -0 $server 2>/dev/null || { fail "acrn-dm does not serve: $(cat server.err)" && finish; }
  read -rt 0.05 <> <(:)
done
: >console
timeout -k 5 100 "$uml/linux" mem=128M initrd=vm.gz con=null con0=null,fd:1 quiet virtio_uml.device=vm1.9.0.sock:2 \
  virtio_uml.device=vm1.10.0.sock:2 virtio_uml.device=vm1.11.0.sock:2 \
  virtio_uml.device=vm1.12.0.sock:2 virtio_uml.device=vm1.13.0.sock:2 </dev/null >console 2>&1 &
guest=$!
for time in 1 2 3; do
  until [ "$(grep -c '^@writing' console)" -ge $time ] || ! kill -0 $guest 2>/dev/null; do read -rt 0.02 <> <(:); done
  kill -9 $nbd
  wait $nbd 2>/dev/null
  rm other.img.nbd
  serve_nbd other.img
done
wait $guest
expect_equal "the kernel's exit status" $? 0
grep '^FAILED' console && failures=$((failures + 1))
expect_equal 'the end of its job' "$(grep -c '^@done' console)" 1
kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
kill $back_end
wait $back_end
expect_equal "the back end's exit status: $(cat back_end.err)" $? 0
# One line for each loss, of numbers that are told of.
expect_equal 'on stderr' "$(grep -v 'the server is lost' server.err)" ''

# The guest's file systems, and the base as it was.
run qemu-img check disk.qcow2
expect_equal "qemu-img check: $out" "$status" 0
run qemu-img compare -f raw -F qcow2 base.img base.qcow2
expect_equal "the base: $out" "$status" 0
qemu-img convert -f qcow2 -O raw disk.qcow2 seen.img
for image in seen.img disk.img last.img; do
  run e2fsck -fn $image
  expect_equal "fsck of $image: $out" "$status" 0
done

# --- a child that never outlives acrn-dm
child() { pgrep -P "$server" qemu; }
"$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,base.qcow2,format=qcow2,snapshot vm2 2>server.err &
server=$!
until [ -S vm2.9.0.sock ] || ! kill -0 $server 2>/dev/null; do read -rt 0.05 <> <(:); done
child=$(child)
expect_equal 'children' "$(echo "$child" | wc -w)" 1
kill -9 $server
wait $server 2>/dev/null
for ((tries = 0; tries < 200; tries++)); do
  kill -0 "$child" 2>/dev/null || break
  read -rt 0.05 <> <(:)
done
! kill -0 "$child" 2>/dev/null || fail 'the program that reads the image outlives acrn-dm'

run "$acrn_dm" --dry_run -s 9,virtio-blk,disk.qcow2,format=qcow2,backing=follow vm1
expect_contains 'dry run' "$out" '"virtual_bytes": 67108864'
expect_contains 'dry run' "$out" '"base.qcow2"'
[ "$failures" = 0 ] || tail -n 40 console server.err
finish
