#!/usr/bin/env bash
# A root file system that many VMs can share: it is served read-only (slot 9), and what a guest changes goes to a disk
# of its own (slot 10), which an overlay in the guest puts on top.
source "$(dirname "$0")/lib.sh"
begin read_only_root

step "a root file system with busybox, an empty overlay, an initramfs that puts the one on the other"
samples/guest/make_root.sh "$vm/root"
mkdir "$vm/root/upper"
echo "made on the host" >"$vm/root/etc/motd"
echo "never changes" >"$vm/root/etc/old"
cat >"$vm/root/sbin/init" <<'END'
#!/bin/sh
grep ' / ' /proc/mounts
dd if=/dev/zero of=/dev/vda count=1 2>/dev/null || echo "/dev/vda cannot be written"
echo "changed in the guest" >/etc/motd
rm /etc/old
mount -o remount,ro /
poweroff -f
END
chmod +x "$vm/root/sbin/init"
file_system root.img 32M -d "$vm/root"
file_system overlay.img 16M
initrd --module overlay <<'END'
mkdir /root_disk /overlay_disk
mount -o ro /dev/vda /root_disk
mount /dev/vdb /overlay_disk
mkdir -p /overlay_disk/upper /overlay_disk/work
mount -t overlay -o lowerdir=/root_disk,upperdir=/overlay_disk/upper,workdir=/overlay_disk/work root /mnt
for name in dev proc sys run tmp; do
  mount --move /$name /mnt/$name
done
exec switch_root /mnt /sbin/init
END
before=$(sha256sum <"$vm/root.img")
chmod a-w "$vm/root.img"

on_host --get root.img --get overlay.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz -B "console=ttyS0 quiet" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio \
  -s 9,virtio-blk,root.img,ro -s 10,virtio-blk,overlay.img,writeback vm1

step "back on this host: the root file system's hash, then the overlay's files"
[ "$before" = "$(sha256sum <"$vm/root.img")" ]
echo "root.img is unchanged: ${before%% *}"
look "$vm/overlay.img" 'ls -l /upper/etc'
look "$vm/overlay.img" 'cat /upper/etc/motd'
