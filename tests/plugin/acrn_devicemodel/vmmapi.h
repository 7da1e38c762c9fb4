/* What the adapter in samples/embed/acrn_devicemodel needs of ACRN's device model: the virtual machine. */
#ifndef VMMAPI_H
#define VMMAPI_H

#include <linux/acrn.h>
#include <stddef.h>
#include <stdint.h>

struct vmctx {
  char* baseaddr;
  uint64_t highmem_gpa_base;
};

size_t vm_get_lowmem_size(struct vmctx* ctx);
size_t vm_get_highmem_size(struct vmctx* ctx);
void* vm_map_gpa(struct vmctx* ctx, uint64_t gaddr, size_t len);
int vm_ioeventfd(struct vmctx* ctx, struct acrn_ioeventfd* args);

#endif
