#include "dm/hypervisor/kvm/kernel_lists.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int acrn_kvm_get_supported_cpuid(int system, struct kvm_cpuid_entry2* entries, unsigned* count) {
  struct kvm_cpuid2* list = calloc(1, sizeof(*list) + *count * sizeof(*entries));
  if (list == NULL) return -1;
  list->nent = *count;
  const int result = ioctl(system, KVM_GET_SUPPORTED_CPUID, list);
  if (result == 0) {
    *count = list->nent;
    memcpy(entries, list->entries, *count * sizeof(*entries));
  }
  free(list);
  return result;
}

int acrn_kvm_set_cpuid(int vcpu, const struct kvm_cpuid_entry2* entries, unsigned count) {
  struct kvm_cpuid2* list = calloc(1, sizeof(*list) + count * sizeof(*entries));
  if (list == NULL) return -1;
  list->nent = count;
  memcpy(list->entries, entries, count * sizeof(*entries));
  const int result = ioctl(vcpu, KVM_SET_CPUID2, list);
  free(list);
  return result;
}

int acrn_kvm_set_msrs(int vcpu, const struct kvm_msr_entry* entries, unsigned count) {
  struct kvm_msrs* list = calloc(1, sizeof(*list) + count * sizeof(*entries));
  if (list == NULL) return -1;
  list->nmsrs = count;
  memcpy(list->entries, entries, count * sizeof(*entries));
  const int result = ioctl(vcpu, KVM_SET_MSRS, list);
  free(list);
  return result;
}

_Static_assert(KVM_SET_CPUID2 == ACRN_KVM_SET_CPUID2 && KVM_SET_MSRS == ACRN_KVM_SET_MSRS &&
                   KVM_SET_GSI_ROUTING == ACRN_KVM_SET_GSI_ROUTING,
               "the numbers of the header");

int acrn_kvm_set_gsi_routing(int vm, const struct kvm_irq_routing_entry* entries, unsigned count) {
  struct kvm_irq_routing* list = calloc(1, sizeof(*list) + count * sizeof(*entries));
  if (list == NULL) return -1;
  list->nr = count;
  memcpy(list->entries, entries, count * sizeof(*entries));
  const int result = ioctl(vm, KVM_SET_GSI_ROUTING, list);
  free(list);
  return result;
}
