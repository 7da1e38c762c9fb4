#!/usr/bin/env bash
# A disk for another hypervisor: acrn-dm serves it over vfio-user, and an unmodified QEMU plugs it in as its own PCI device.
# QEMU 10.1 or later can; one is fetched. From a terminal you get a shell in the guest, with the disk on /mnt.
source "$(dirname "$0")/lib.sh"
begin qemu_vfio_user
qemu=$(samples/guest/get_qemu.sh "$guest_cache")
in_qemu vfio-user "$qemu" \
  -device '{"driver":"vfio-user-pci","socket":{"path":"vm1.9.0.sock","type":"unix"},"addr":"09.0"}'
