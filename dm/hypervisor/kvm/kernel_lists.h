/* Calls of KVM whose argument ends in an array of no declared length. In C: some releases of the kernel's headers lay
 * those structures out differently for C++ (an empty member has a size there), and the size is part of the request. */
#pragma once

#include <linux/kvm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Their numbers, which C++ may compute wrongly. */
#define ACRN_KVM_SET_CPUID2 0x4008ae90u
#define ACRN_KVM_SET_MSRS 0x4008ae89u
#define ACRN_KVM_SET_GSI_ROUTING 0x4008ae6au

/* All return what ioctl() does, or -1 with ENOMEM. */

/* `*count` is the room in `entries`, and then how many there are. */
int acrn_kvm_get_supported_cpuid(int system, struct kvm_cpuid_entry2* entries, unsigned* count);
int acrn_kvm_set_cpuid(int vcpu, const struct kvm_cpuid_entry2* entries, unsigned count);
int acrn_kvm_set_msrs(int vcpu, const struct kvm_msr_entry* entries, unsigned count);
int acrn_kvm_set_gsi_routing(int vm, const struct kvm_irq_routing_entry* entries, unsigned count);

#ifdef __cplusplus
}
#endif
