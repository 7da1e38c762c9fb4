#!/usr/bin/env bash
# User Mode Linux on an image of a Ceph cluster, whose OSD is killed while the guest writes; acrn-dm is killed, too, and its
# lock is not in the next one's way. Usage: rbd_test.sh <acrn-dm> <source folder> <vblk> <modules> <ceph_cluster>
# COVERS(guest): a guest with an image of a Ceph cluster, whose OSD is killed
vblk=$3 modules=$4 ceph_cluster=$5
. "$(dirname "$0")/lib.sh"
export ACRN_DM_MODULES=$modules
uml=$("$source/samples/guest/get_uml.sh" "$cache" 2>why) || skip "$(tail -n 1 why)"
coproc CLUSTER { "$ceph_cluster" vm1 copy 2>cluster.err; }
cluster=$CLUSTER_PID
read -r conf <&"${CLUSTER[0]}" || skip "a Ceph cluster: $(tail -n 1 cluster.err)"
cat "$source/tests/integration/guest/guest.init" >init
cat >job <<'END'
for i in 1 2 3; do echo @writing; fill /dev/vda 8192; done
check 'discard' blkdiscard -o 1048576 -l 1048576 /dev/vda
check 'mkfs' mke2fs -F -b 4096 /dev/vda
check 'mount' mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null
sum /mnt/file >/mnt/sum
check 'umount' umount /mnt
echo "@resize $(cat /sys/block/vda/size)"
until [ "$(cat /sys/block/vda/size)" = 147456 ]; do sleep 0.1; done
check 'the new end' dd if=/dev/zero of=/dev/vda bs=4k seek=18431 count=1 conv=notrunc,fsync
END
"$source/samples/guest/make_initrd.sh" vm.gz --kernel "$uml" --init init --file "$work/job:/job" --module virtio_blk || fail 'make_initrd.sh'

# serve <name>: the image, on vhost-user; leaves $server.
serve() {
  "$acrn_dm" --serve vhost-user=. -s "9,virtio-blk,rbd:rbd/vm1,conf=$conf,writeback,discard,reconnect=120" "$1" 2>server.err &
  server=$!
  until [ -S "$1.9.0.sock" ]; do
    kill -0 $server 2>/dev/null || { fail "acrn-dm does not serve: $(cat server.err)" && finish; }
    read -rt 0.05 <> <(:)
  done
}
serve vm1
: >console
timeout -k 5 150 "$uml/linux" mem=128M initrd=vm.gz con=null con0=null,fd:1 quiet virtio_uml.device=vm1.9.0.sock:2 \
  </dev/null >console 2>&1 &
guest=$!
for time in 1 2; do
  until [ "$(grep -c '^@writing' console)" -ge $time ] || ! kill -0 $guest 2>/dev/null; do read -rt 0.02 <> <(:); done
  echo again >&"${CLUSTER[1]}"
  read -r _ <&"${CLUSTER[0]}"
done
until grep -q '^@resize' console || ! kill -0 $guest 2>/dev/null; do read -rt 0.02 <> <(:); done
timeout 60 rbd -c "$conf" resize --no-progress --size 72M rbd/vm1 2>log &&
  timeout 60 rbd -c "$conf" resize --no-progress --size 72M rbd/copy 2>log || fail "rbd resize: $(tail -n 1 log)"
wait $guest
expect_equal "the kernel's exit status" $? 0
grep '^FAILED' console && failures=$((failures + 1))
expect_equal 'the end of its job' "$(grep -c '^@done' console)" 1

# --- a lock of one that lives, and of one that does not
run "$acrn_dm" --serve vhost-user=. -s "9,virtio-blk,rbd:rbd/vm1,conf=$conf" vm2
expect_contains 'a second one' "$err" 'virtio-blk rbd:rbd/vm1: somebody else has its lock'
kill -9 $server
wait $server 2>/dev/null
serve vm3
expect_equal 'on stderr' "$(cat server.err)" ''
kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0

# --- what the guest has left, and a copy of it
timeout 60 rbd -c "$conf" export rbd/vm1 seen.img 2>log || fail "rbd export: $(tail -n 1 log)"
run e2fsck -fn seen.img
expect_equal "fsck: $out" "$status" 0
run "$vblk" convert -s "3,virtio-blk,rbd:rbd/vm1,conf=$conf,ro" -s "4,virtio-blk,rbd:rbd/copy,conf=$conf,writeback,discard"
expect_equal "vblk convert: $err" "$status" 0
timeout 60 rbd -c "$conf" export rbd/copy copy.img 2>log || fail "rbd export: $(tail -n 1 log)"
cmp seen.img copy.img || fail 'the copy'
run "$acrn_dm" --dry_run -s "9,virtio-blk,rbd:rbd/vm1,conf=$conf,ro" vm1
expect_contains 'dry run' "$out" '"medium": "rbd"'
exec {CLUSTER[1]}>&-
wait "$cluster" 2>/dev/null
[ "$failures" = 0 ] || tail -n 40 console server.err
finish
