#!/usr/bin/env bash
# QEMU, Debian's own and a new one, with disks over vhost-user: SeaBIOS boots from one, one comes and goes while Linux runs, and
# QEMU is killed while the guest writes. Usage: qemu_firmware_test.sh <acrn-dm> <source folder>
# COVERS(guest): SeaBIOS boots over vhost-user, reads and writes by INT 13h; hot plug and unplug; a front end that is killed while it writes
. "$(dirname "$0")/lib.sh"
get_qemus

# start <name> <qemu> <machine> <option>...: $guest. What is written to descriptor 8 goes to its QMP, whose answers are in
# <name>.qmp. It ends with this script.
start() {
  local name=$1 qemu=$2 machine=$3
  shift 3
  mkfifo "$name.in"
  exec 8<>"$name.in"
  echo '{"execute":"qmp_capabilities"}' >&8
  : >"$name.console"
  setpriv --pdeathsig KILL "$qemu" -M "$machine,memory-backend=m" -object memory-backend-memfd,id=m,size=256M,share=on \
    -m 256M -accel tcg -nodefaults -no-user-config -display none -serial "file:$name.console" -qmp stdio -no-reboot \
    -chardev socket,id=c,path=vm1.9.0.sock "$@" <>"$name.in" >"$name.qmp" 2>"$name.err" &
  guest=$!
}
# boot <name> <qemu> <machine> <words for the kernel> [<option>...]: Linux, with the initramfs of $job
boot() {
  start "${@:1:3}" -device vhost-user-blk-pci,chardev=c,num-queues=1 -kernel "$kernel/vmlinuz" -initrd "$job.gz" \
    -append "console=ttyS0 quiet panic=-1 $4" "${@:5}"
}
# initramfs: of the script $job
initramfs() {
  "$source/samples/guest/make_initrd.sh" "$job.gz" --kernel "$kernel" --init "$source/tests/integration/guest/guest.init" \
    --file "$work/$job:/job" --module virtio_pci --module virtio_blk || fail 'make_initrd.sh'
}
running() { kill -0 "$guest" 2>/dev/null; }
# await <what is wrong otherwise> <command...>: until it holds, for a minute at most and while the guest runs.
await() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@"; do
    running && [ $SECONDS -lt $end ] || { fail "$what" && return 1; }
    read -rt 0.02 <> <(:)
  done
  return 0
}
console() { tr -d '\r\0' <"$1.console"; }
# said <name> <line> [<times>]: on its console, after "@"
said() { [ "$(console "$1" | grep -cE "^@$2\$")" -ge "${3:-1}" ]; }
# ended <name> <status>
ended() {
  local end=$((SECONDS + 60))
  while running; do
    [ $SECONDS -lt $end ] || { fail "$1 does not end" && kill -9 "$guest" && break; }
    read -rt 0.02 <> <(:)
  done
  wait "$guest"
  expect_equal "$1: exit status" $? "$2"
  expect_equal "$1: on stderr" "$(cat "$1.err")" ''
  expect_equal "$1: errors of QMP" "$(grep '"error"' "$1.qmp")" ''
}
# did_its_job <name>
did_its_job() {
  ended "$1" 0
  grep '^FAILED' "$1.console" && failures=$((failures + 1))
  expect_equal "$1: the end of its job" "$(console "$1" | grep -c '^@done')" 1
}

truncate -s 32M disk.img second.img
"$acrn_dm" --serve vhost-user=. -s 9,virtio-blk,disk.img,writeback,mq=4 -s 10,virtio-blk,second.img,writeback vm1 \
  2>server.err &
server=$!
until [ -S vm1.9.0.sock ] && [ -S vm1.10.0.sock ]; do
  kill -0 $server 2>/dev/null || { fail "acrn-dm does not serve: $(cat server.err)" && finish; }
  read -rt 0.05 <> <(:)
done

# --- SeaBIOS loads the first sector, which reads sector 2, writes that to sector 3, and prints it.
{
  printf '\x31\xc0\x8e\xd8\xfc'                     # xor ax, ax; mov ds, ax; cld
  printf '\xbe\x2a\x7c\xb4\x42\xcd\x13'             # mov si, packet; mov ah, 42h; int 13h  the BIOS has left the drive in DL
  printf '\x72\x19'                                 # jc end
  printf '\xc7\x06\x32\x7c\x03\x00'                 # mov word [packet + 8], 3
  printf '\xb8\x00\x43\xcd\x13\x72\x0c'             # mov ax, 4300h; int 13h; jc end
  printf '\xba\xf8\x03\xbe\x00\x7e'                 # mov dx, 3f8h; mov si, 7e00h
  printf '\xac\xee\x84\xc0\x75\xfa'                 # next: lodsb; out dx, al; test al, al; jnz next
  printf '\xe6\xf4\xf4'                             # end: out f4h, al; hlt
  printf '\x10\0\x01\0\0\x7e\0\0\x02\0\0\0\0\0\0\0' # packet: 1 sector, at 0:7e00h, number 2
} >sector
printf '\x55\xaa' | dd of=sector bs=1 seek=510 status=none
dd if=sector of=disk.img conv=notrunc status=none
# firmware <name> <qemu> <machine> <queues> <functions' properties>
firmware() {
  printf 'booted %s' "$1" | dd of=disk.img bs=512 seek=2 conv=notrunc,sync status=none
  start "$1" "$2" "$3" -device "vhost-user-blk-pci,chardev=c,bootindex=1,num-queues=$4,$5" \
    -device isa-debug-exit,iobase=0xf4,iosize=1
  ended "$1" 1
  expect_contains "$1: the serial port" "$(console "$1")" "booted $1"
  expect_equal "$1: what was written" "$(dd if=disk.img bs=512 skip=3 count=1 status=none | tr -d '\0')" "booted $1"
}
for version in old:qemu-system-x86_64 new:"$new"; do
  for machine in pc:1 q35:4; do
    name=${version%%:*}-${machine%:*}
    set -- "${version#*:}" "${machine%:*}" "${machine#*:}"
    firmware "$name-legacy" "$@" disable-modern=on,disable-legacy=off
    firmware "$name-transitional" "$@" disable-modern=off,disable-legacy=off
    firmware "$name-modern" "$@" disable-modern=off,disable-legacy=on
  done
done

# --- A second disk comes and goes, the second time while it is read, and then comes to stay.
job=plug
cat >$job <<'END'
for round in 1 2 3; do
  echo "@absent $round"
  until [ -e /sys/block/vdb/size ]; do usleep 20000; done
  [ $round = 1 ] || equal 'what was written before' "$(dd if=/dev/vdb bs=1k count=4096 2>/dev/null | sum)" "$sum"
  fill /dev/vdb 4096
  [ $round != 2 ] || while dd if=/dev/vdb of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done &
  echo "@present $round"
  [ $round = 3 ] || while [ -e /sys/block/vdb ]; do usleep 20000; done
done
fill /dev/vda 4096
END
initramfs
qmp() { printf '{"execute":"%s","arguments":%s}\n' "$1" "$2" >&8; }
deleted() { [ "$(grep '"DEVICE_DELETED"' "$1.qmp" | grep -c '"device": "disk"')" -ge "$2" ]; }
# plug <property of the device>
plug() {
  local address='{"type":"unix","data":{"path":"vm1.10.0.sock"}}'
  qmp chardev-add "{\"id\":\"d\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":$address,\"server\":false}}}"
  qmp device_add "{\"driver\":\"vhost-user-blk-pci\",\"id\":\"disk\",\"chardev\":\"d\",\"num-queues\":1,$1}"
}
# comes_and_goes <name> <qemu> <machine> <property> [<option>...]
comes_and_goes() {
  boot "${@:1:3}" '' "${@:5}"
  await "$1: the guest does not begin" said "$1" 'absent 1' && plug "$4"
  for round in 1 2; do
    await "$1: disk $round does not come" said "$1" "present $round" || break
    qmp device_del '{"id":"disk"}'
    await "$1: disk $round does not go" deleted "$1" $round || break
    qmp chardev-remove '{"id":"d"}'
    plug "$4" # at once, on the socket that has just been left
  done
  did_its_job "$1"
  expect_equal "$1: answers of QMP" "$(grep -c '"return"' "$1.qmp")" 11
}
comes_and_goes old-plug qemu-system-x86_64 pc '"bus":"pci.0"'
comes_and_goes new-plug "$new" pc '"bus":"pci.0"'
# Bus 0 of q35 takes no functions at run time.
comes_and_goes port-plug "$new" q35 '"bus":"root1"' -device pcie-root-port,id=root1,slot=1

# --- QEMU is killed while the guest writes, and the next one finds what had been flushed. The last one has large requests.
job=killed
cat >$job <<'END'
read -r line </proc/cmdline
for word in $line; do
  case $word in sum=* | last=*) eval "$word" ;; esac
done
record() { printf '%-511s' "record $1"; }
if [ -n "$last" ]; then
  equal 'what was flushed first' "$(dd if=/dev/vda bs=1k count=4096 2>/dev/null | sum)" "$sum"
  for i in $(seq "$last"); do
    equal "record $i" "$(dd if=/dev/vda bs=512 skip=$((16384 + i)) count=1 2>/dev/null | tr -d '\0')" "$(record "$i")"
  done
fi
case $line in
  *end*)
    # Memory in single pages, so that a large request has a segment for each, while QEMU's ring has 128 entries.
    dd if=/dev/urandom of=/tmp/pages bs=1k count=8192 2>/dev/null
    tee /tmp/between </tmp/pages >/tmp/other
    rm /tmp/between
    check 'large writes' dd if=/tmp/pages of=/dev/vda bs=1M oflag=direct
    equal 'large reads' "$(dd if=/dev/vda bs=1M count=8 iflag=direct 2>/dev/null | sum)" "$(sum /tmp/pages)"
    return
    ;;
esac
fill /dev/vda 4096
echo "@sum $sum"
while :; do dd if=/dev/zero of=/dev/vda bs=64k seek=256 count=128 conv=notrunc 2>/dev/null; done &
i=1
while :; do
  record $i | dd of=/dev/vda bs=512 seek=$((16384 + i)) conv=notrunc,sync,fsync 2>/dev/null
  echo "@flushed $i"
  i=$((i + 1))
done
END
initramfs
words=''
for version in old:qemu-system-x86_64 new:"$new"; do
  name=${version%%:*}-killed
  boot "$name" "${version#*:}" pc "$words"
  await "$name: the guest does not write" said "$name" 'flushed [0-9]+' 20
  kill -9 "$guest"
  wait "$guest"
  expect_equal "$name: exit status" $? 137
  expect_equal "$name: checks" "$(grep '^FAILED' "$name.console")" ''
  last=$(console "$name" | sed -n 's/^@flushed \([0-9]*\)$/\1/p' | tail -n 1)
  words="sum=$(console "$name" | sed -n 's/^@sum //p') last=$last"
done
boot after qemu-system-x86_64 pc "$words end"
did_its_job after

kill $server
wait $server
expect_equal "acrn-dm's exit status" $? 0
expect_equal 'on stderr' "$(cat server.err)" ''
expect_equal 'sockets left' "$(find . -name '*.sock')" ''
[ "$failures" = 0 ] || tail -n 20 ./*.console ./*.err ./*.qmp | tr -d '\0'
finish
