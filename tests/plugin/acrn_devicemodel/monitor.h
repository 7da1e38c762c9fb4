/* What the adapter in samples/embed/acrn_devicemodel needs of ACRN's device model: its monitor. */
#ifndef MONITOR_H
#define MONITOR_H

struct monitor_vm_ops {
  int (*rescan)(void* ctx, char* args);
};

int monitor_register_vm_ops(struct monitor_vm_ops* ops, void* arg, const char* name);

#endif
