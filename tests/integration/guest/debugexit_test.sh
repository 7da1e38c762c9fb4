#!/bin/sh
# --debugexit: the guest says with which status its VM ends.
# COVERS(guest): the guest's own exit status
. "${0%/*}/lib.sh"

job debugexit <<'END'
with_tools /dev/vda
echo @leaving
out_port 0xf4 21
sleep 5
fail 'still here'
END
start debugexit --debugexit -s 20,virtio-blk,"$ACRN_GUEST/tools.img",ro
ended debugexit $((21 << 1 | 1))
expect_contains 'console' "$(console debugexit)" @leaving
expect_equal 'in the guest' "$(console debugexit | grep FAILED)" ''
finish
