#!/bin/sh
# The ACRN port beside KVM's, and what it asks of ACRN's module, in which order.
. "${0%/*}/lib.sh"

# The same command line, and the same disk comes out. ACRN is taken where it is; its own kernels' module has more requests.
head -c 4194304 /dev/urandom >kvm.img
cp kvm.img acrn.img
export HSM_TRACE="$work/newer" HSM_NEWER=1
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
expect_equal 'more requests' "$(grep -E '^SETUP' newer | xargs)" 'SETUP_ASYNCIO 0 SETUP_VM_EVENT_RING 0 SETUP_VM_EVENT_FD 0'

# A restart and a power-off. Left out: what devices do all the time.
export HSM_TRACE="$work/trace"
unset HSM_NEWER
truncate -s 1M disk.img
job order <<'END'
read -r word </dev/vda
[ "$word" != again ] || return 0
echo again | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null
reboot -f
sleep 20
fail 'no reboot'
END
affinity=''
[ ! -r /sys/firmware/acpi/tables/APIC ] || affinity='--cpu_affinity 0'
# shellcheck disable=SC2086
boot order $affinity -s 9,virtio-blk,disk.img
expect_equal 'order of requests' "$(grep -vE '^(ATTACH|NOTIFY|SET_IRQLINE|INJECT_MSI|IOEVENTFD|IRQFD)' trace | xargs)" \
  "CREATE_VM 0 SETUP_ASYNCIO -25 SETUP_VM_EVENT_RING -25 SET_MEMSEG 0 SET_VCPU_REGS 0 CREATE_IOREQ_CLIENT 0 START_VM 0 \
PAUSE_VM 0 CLEAR_VM_IOREQ 0 RESET_VM 0 SET_VCPU_REGS 0 START_VM 0 PAUSE_VM 0 DESTROY_IOREQ_CLIENT 0 DESTROY_VM 0"
expect_equal 'requests that failed' "$(grep -vE ' 0$|^SETUP' trace | xargs)" ''
expect_equal 'its first requests for I/O' "$(grep -m 4 -E '^(ATTACH|NOTIFY|START)' trace | xargs)" \
  'START_VM 0 ATTACH_IOREQ_CLIENT 0 NOTIFY_REQUEST_FINISH 0 ATTACH_IOREQ_CLIENT 0'
unset HSM_TRACE

# ACRN makes a power-off of a triple fault.
job triple <<'END'
echo triple >/sys/kernel/reboot/type
reboot -f
sleep 20
fail 'no triple fault'
END
start triple -s 9,virtio-blk,disk.img
ended triple
expect_equal 'in the guest' "$(console triple | grep FAILED)" ''

# RAM on both sides of the window for devices, and no interrupts of a clock but our timer's.
truncate -s 2M high.img
job high <<'END'
contains 'RAM above 4 GiB' "$(cat /proc/iomem)" '100000000-10fffffff : System RAM'
ticks() { awk '$1 == "0:" { print $2 }' /proc/interrupts; }
before=$(ticks)
sleep 1
[ "$(ticks)" -gt $((before + 50)) ] || fail "ticks in a second: from $before to $(ticks)"
equal 'ticks of the local APIC' "$(awk '$1 == "LOC:" { print $2 }' /proc/interrupts)" 0
fill /dev/vda 2048
END
memory=2304M append='no-kvmclock nolapic_timer'
# In the emulated host KVM now and then (4 of 100 times) stops to inject interrupts, which looks like QEMU's emulation of
# such a processor: our timer goes on, as the switches of its thread show, the guest computes, and nothing is injected any
# more. A boot takes 8 seconds; after 15 of that kind it is tried again.
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
injected() { cat /sys/kernel/debug/kvm/irq_injections 2>/dev/null; }
switches() {
  for process in $(pidof acrn-dm); do cat "/proc/$process/task"/*/status 2>/dev/null; done |
    awk '$1 == "voluntary_ctxt_switches:" { all += $2 } END { print all + 0 }'
}
for try in 1 2 3; do
  start high -s 9,virtio-blk,high.img,writeback
  stuck=0
  while [ $stuck -lt 15 ] && running high; do
    injections=$(injected) before=$(switches)
    sleep 1
    if [ "$(injected)" = "$injections" ] && [ "$(switches)" -gt $((before + 50)) ]; then stuck=$((stuck + 1)); else stuck=0; fi
  done
  [ $stuck = 15 ] || break
  echo "the emulated processor takes no interrupts any more ($try)" >&2
  pidof acrn-dm | xargs kill -KILL
  wait "$(cat high.pid)"
done
ended high
done_well high
finish
