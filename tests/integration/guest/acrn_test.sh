#!/bin/sh
# The ACRN port: beside KVM with the same command line, and what it asks of ACRN's module, in which order.
. "${0%/*}/lib.sh"

# The same disk comes out of both.
head -c 4194304 /dev/urandom >kvm.img
cp kvm.img acrn.img
for hypervisor in kvm acrn; do
  job $hypervisor <<'END'
dd if=/dev/vda of=/dev/vda bs=64k skip=16 count=16 conv=notrunc 2>/dev/null
yes 'a line of text' | head -c 1000000 | dd of=/dev/vda bs=4k seek=512 conv=notrunc,fsync 2>/dev/null
echo "@sum $(sum /dev/vda)"
END
  start $hypervisor -s 9,virtio-blk,$hypervisor.img,writeback
done
for vm in kvm acrn; do
  ended $vm
  done_well $vm
  expect_equal "$vm: what the guest read" "$(said $vm sum)" "$(sum $vm.img)"
done
expect 'the same disk' cmp kvm.img acrn.img

# calls <trace>: the module's, without those of the guest's devices.
calls() { grep -vE '^(ATTACH|NOTIFY|SET_IRQLINE|INJECT_MSI|IOEVENTFD|IRQFD)' "$1" | xargs; }
export HSM_TRACE=$work/trace
truncate -s 1M disk.img
job order <<'END'
read -r word </dev/vda
[ "$word" != again ] || return 0
echo again | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null
reboot -f
sleep 20
fail 'no reboot'
END
boot order -s 9,virtio-blk,disk.img
expect_equal 'calls' "$(calls trace)" "CREATE_VM 0 SET_MEMSEG 0 SET_VCPU_REGS 0 CREATE_IOREQ_CLIENT 0 START_VM 0 \
PAUSE_VM 0 CLEAR_VM_IOREQ 0 RESET_VM 0 SET_VCPU_REGS 0 START_VM 0 PAUSE_VM 0 DESTROY_IOREQ_CLIENT 0 DESTROY_VM 0"
expect_equal 'calls that failed' "$(grep -v ' 0$' trace | sort | uniq -c)" ''
unset HSM_TRACE

# RAM on both sides of the window for devices.
truncate -s 2M disk.img
job high <<'END'
contains 'RAM above 4 GiB' "$(cat /proc/iomem)" '100000000-10fffffff : System RAM'
fill /dev/vda 2048
END
memory=2304M
boot high -s 9,virtio-blk,disk.img,writeback
finish
