#!/bin/sh
# The sample VMM of libacrn-blk (samples/embed/tiny_vmm.c) boots Linux, and its disk works.
. "${0%/*}/lib.sh"

truncate -s 16M disk.img
job vm <<'END'
fill /dev/vda 4096
echo "@sum $sum"
equal 'its size' "$(cat /sys/block/vda/size)" 32768
sync
echo @done
reboot -f
END
timeout -s KILL "$limit" tiny_vmm "$kernel" vm.gz 'console=ttyS0 quiet acpi=off reboot=k' disk.img,writeback >vm.console 2>vm.err \
  </dev/null
expect_equal 'exit status' $? 0
done_well vm
expect_equal 'on stderr' "$(cat vm.err)" ''
expect_equal 'what the guest wrote' "$(head -c 4194304 disk.img | sha256sum | cut -d ' ' -f 1)" "$(said vm sum)"
finish
