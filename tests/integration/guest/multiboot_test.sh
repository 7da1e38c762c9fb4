#!/bin/sh
# Another system's kernel, that begins as Multiboot says: GNU Mach finds its command line, its RAM and the clock, and stops
# for want of the programs that would come with it.
# COVERS(guest): a kernel by Multiboot: command line, map of RAM
. "${0%/*}/lib.sh"

[ -e "$ACRN_GUEST/mach/gnumach" ] || skipped "$(tail -n 1 "$ACRN_GUEST/mach/missing")"
kernel=$ACRN_GUEST/mach/gnumach
append=console=com0
truncate -s 1M disk.img
start mach -s 9,virtio-blk,disk.img
await mach 'panic ../kern/bootstrap.c'
kill -9 "$(cat mach.pid)"
said=$(console mach)
expect_contains 'who it is' "$said" 'GNU Mach 1.8'
expect_contains 'RAM' "$said" ':000000000010000000, available'
expect_contains 'the clock' "$said" 'RTC time is 20'
expect_contains 'why it stops' "$said" 'No bootstrap code loaded with the kernel!'
expect_equal 'on stderr' "$(cat mach.err)" ''
finish
