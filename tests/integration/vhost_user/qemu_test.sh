#!/usr/bin/env bash
# QEMU, Debian's own and a new one, with disks over vhost-user: on both machines, as legacy, transitional and modern
# function, with several queues; and a server that is killed while the guest writes. Usage: qemu_test.sh <acrn-dm> <source folder>
# COVERS(guest): QEMU over vhost-user: pc and q35, legacy, transitional and modern, several queues; kill -9 and reconnect
. "$(dirname "$0")/lib.sh"
get_qemus
cat >job <<'END'
equal 'capacity' "$(cat /sys/block/vda/size)" 65536
read -r line </proc/cmdline
case $line in *modern*) version=1 ;; *) version=0 ;; esac
equal 'VERSION_1' "$(cut -c 33 /sys/block/vda/device/features)" $version
equal 'queues' "$(ls /sys/block/vda/mq | wc -l)" "$(nproc)"
fill /dev/vda 16384
case $line in *again*) for i in 1 2 3; do echo @writing; fill /dev/vda 16384; done ;; esac
END
"$source/samples/guest/make_initrd.sh" vm.gz --kernel "$kernel" --init "$source/tests/integration/guest/guest.init" \
  --file "$work/job:/job" --module virtio_pci --module virtio_blk || fail 'make_initrd.sh'

serve() {
  "$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,disk.img,writeback,mq=4 vm1 2>>server.err &
  server=$!
  until [ -S vm1.9.0.sock ] || ! kill -0 $server 2>/dev/null; do read -rt 0.05 <> <(:); done
}
# start <name> <qemu> <machine> <cpus> <reconnect> <functions' properties> <words for the kernel>
start() {
  local reconnect=$5
  timeout -k 5 120 "$2" -M "$3,memory-backend=m" -object memory-backend-memfd,id=m,size=256M,share=on -m 256M -smp "$4" \
    -accel tcg -nodefaults -no-user-config -display none -serial stdio -no-reboot -kernel "$kernel/vmlinuz" -initrd vm.gz \
    -append "console=ttyS0 quiet panic=-1 $7" -chardev "socket,id=c,path=vm1.9.0.sock$reconnect" \
    -device "vhost-user-blk-pci,chardev=c,num-queues=$4,$6" </dev/null >"$1.console" 2>"$1.err" &
  guest=$!
}
ended() {
  wait $guest
  expect_equal "$1: exit status" $? 0
  grep '^FAILED' "$1.console" && failures=$((failures + 1))
  expect_equal "$1: the end of its job" "$(tr -d '\r' <"$1.console" | grep -c '^@done')" 1
}

truncate -s 32M disk.img
serve
for version in old:qemu-system-x86_64 new:"$new"; do
  qemu=${version#*:} name=${version%%:*}
  start "$name-legacy" "$qemu" pc 1 '' disable-modern=on,disable-legacy=off ''
  ended "$name-legacy"
  start "$name-transitional" "$qemu" pc 2 '' disable-modern=off,disable-legacy=off modern
  ended "$name-transitional"
  start "$name-modern" "$qemu" q35 2 '' disable-modern=off,disable-legacy=on modern
  ended "$name-modern"
done
expect_equal 'on stderr' "$(cat server.err)" ''

# The server dies three times while the guest writes, and the next one goes on.
start killed qemu-system-x86_64 pc 2 ,reconnect=1 disable-modern=off modern\ again
for time in 1 2 3; do
  until [ "$(grep -c '^@writing' killed.console)" -ge $time ] || ! kill -0 $guest 2>/dev/null; do read -rt 0.02 <> <(:); done
  kill -9 $server
  wait $server 2>/dev/null
  serve
done
ended killed

kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
[ "$failures" = 0 ] || tail -n 20 ./*.console ./*.err
finish
