#!/bin/sh
# One image, two machines at a time, each with its half.
# COVERS(guest): two VMs on the halves of one image
. "${0%/*}/lib.sh"

head -c 4194304 /dev/urandom >disk.img
halves() { # halves <which>
  case $1 in
    a) echo 0/4096 ;;
    b) echo 4096/4096 ;;
  esac
}
for vm in a b; do
  dd if=disk.img of=$vm.before bs=512 skip="$(halves $vm | cut -d / -f 1)" count=4096 2>/dev/null
  job $vm "sum=$(sum $vm.before)" "letter=$vm" <<'END'
equal 'size' "$(cat /sys/block/vda/size)" 4096
equal 'what is in it' "$(sum /dev/vda)" $sum
echo @ready
read -r line
i=0
while [ $i -lt 3 ]; do
  head -c 2097152 /dev/zero | tr '\0' $letter | dd of=/dev/vda bs=64k conv=notrunc,fsync 2>/dev/null || fail 'write'
  i=$((i + 1))
done
forget
equal 'what was written' "$(tr -d $letter </dev/vda | wc -c)" 0
refuse 'a write past the end' dd if=/dev/zero of=/dev/vda bs=512 seek=4096 count=1 conv=fsync,notrunc
echo "@serial $(cat /sys/block/vda/serial)"
END
  start $vm -s 9,virtio-blk,disk.img,writeback,range="$(halves $vm)"
done
await a @ready
await b @ready
cp a.gz c.gz
acrn-dm -k "$kernel" -s 9,virtio-blk,disk.img,range=4095/2 c >c.console 2>c.err </dev/null
expect_equal 'a third one, across the border: status' $? 66
echo >a.in
echo >b.in
ended a
ended b
done_well a
done_well b
expect_equal 'the image' "$(sum disk.img)" \
  "$({ head -c 2097152 /dev/zero | tr '\0' a; head -c 2097152 /dev/zero | tr '\0' b; } | sha256sum | cut -d ' ' -f 1)"
[ "$(said a serial)" != "$(said b serial)" ] || fail "one serial for both: $(said a serial)"
finish
