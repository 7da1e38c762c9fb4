#!/bin/bash
# Which files are opened for an image: those that were named, and the system's own.
# usage: image_files_test.sh <vblk>
. "$(dirname "$0")/lib.sh"
vblk=$1
cd "$work" || exit 1
for program in qemu-img qemu-nbd qemu-storage-daemon strace; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
strace -o trace true 2>/dev/null || { echo 'skipped: strace may not trace here'; exit 77; }

# opened <options>: the files below $work that some process of ours has opened, or has tried to.
opened() {
  timeout 60 strace -f -qq -e trace=open,openat,openat2,creat -o trace "$vblk" read -s "3,virtio-blk,$1" --count 8 \
    >/dev/null 2>errors
  grep -oE '"[^"]*"' trace | tr -d '"' | sed "s|^$work/||; s|^file:||" |
    grep -vE '^(/(usr|lib|lib64|bin|etc|proc|sys|dev)(/.*)?|/var/tmp|/tmp/acrn-dm-[A-Za-z0-9]*/disk)$' | sort -u | tr '\n' ' '
}
qemu-img create -q -f raw base.raw 8M
qemu-img create -q -f qcow2 -b base.raw -F raw middle.qcow2
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f qcow2 -o data_file=elsewhere.raw split.qcow2 8M
qemu-img create -q -f qcow2 -u -b /etc/hostname -F raw host.qcow2 8M
for format in qcow2 vmdk vdi vhdx vpc; do
  qemu-img create -q -f "$format" "alone.$format" 8M
  for reader in qemu-nbd qemu-storage-daemon; do
    expect_equal "$format, $reader" "$(opened "alone.$format,format=$format,reader=$reader")" "alone.$format "
  done
done
expect_equal 'a snapshot' "$(opened alone.qcow2,format=qcow2,snapshot)" 'alone.qcow2 '
expect_equal 'a chain' "$(opened top.qcow2,format=qcow2,backing=follow)" 'base.raw middle.qcow2 top.qcow2 '
expect_equal 'a chain that is not followed' "$(opened top.qcow2,format=qcow2)" 'top.qcow2 '
expect_contains 'a chain that is not followed' "$(cat errors)" 'give backing=follow to use it'
expect_equal 'a backing file of the host' "$(opened host.qcow2,format=qcow2)" 'host.qcow2 '
grep -q '"/etc/hostname"' trace && fail "a backing file of the host is opened"
# QEMU looks for it before anything can be asked, and is not let.
opened split.qcow2,format=qcow2 >/dev/null
grep -E '"[^"]*elsewhere.raw"' trace | grep -vqE 'EACCES|ENOENT' && fail 'a data file that a header names is opened'
expect_contains 'a data file' "$(cat errors)" 'split.qcow2: format=qcow2: '

finish
