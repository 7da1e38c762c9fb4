#!/usr/bin/env bash
# A disk for another hypervisor: acrn-dm serves it over vhost-user, and this machine's QEMU has it as vhost-user-blk-pci,
# under KVM where that works. From a terminal you get a shell in the guest, with the disk on /mnt.
source "$(dirname "$0")/lib.sh"
begin qemu_vhost_user
need qemu-system-x86
in_qemu vhost-user qemu-system-x86_64 \
  -chardev socket,id=disk,path=vm1.9.0.sock,reconnect=1 -device vhost-user-blk-pci,chardev=disk,addr=09.0
