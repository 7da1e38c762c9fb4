/* What the adapter in samples/embed/acrn_devicemodel needs of ACRN's device model: its PCI core. */
#ifndef PCI_CORE_H
#define PCI_CORE_H

#include <stdint.h>

struct vmctx;
struct pci_vdev;

struct pci_vdev_ops {
  const char* class_name;
  int (*vdev_init)(struct vmctx*, struct pci_vdev*, char* opts);
  void (*vdev_deinit)(struct vmctx*, struct pci_vdev*, char* opts);
  void (*vdev_write_dsdt)(struct pci_vdev*);
  void (*vdev_phys_access)(struct vmctx*, struct pci_vdev*);
  int (*vdev_cfgwrite)(struct vmctx*, int vcpu, struct pci_vdev*, int offset, int bytes, uint32_t val);
  int (*vdev_cfgread)(struct vmctx*, int vcpu, struct pci_vdev*, int offset, int bytes, uint32_t* retval);
  void (*vdev_barwrite)(struct vmctx*, int vcpu, struct pci_vdev*, int baridx, uint64_t offset, int size,
                        uint64_t value);
  uint64_t (*vdev_barread)(struct vmctx*, int vcpu, struct pci_vdev*, int baridx, uint64_t offset, int size);
};

/* A linker set, whose one element the test host takes by its name. */
#define DEFINE_PCI_DEVTYPE(x) struct pci_vdev_ops* const pci_vdev_ops_set_member = &(x)

enum pcibar_type { PCIBAR_NONE, PCIBAR_IO, PCIBAR_MEM32, PCIBAR_MEM64, PCIBAR_MEMHI64 };

struct pci_vdev {
  struct pci_vdev_ops* dev_ops;
  struct vmctx* vmctx;
  uint8_t bus, slot, func;
  void* arg;
  struct {
    uint64_t addr;
  } bar[6];
};

void pci_set_cfgdata8(struct pci_vdev* dev, int offset, uint8_t val);
void pci_set_cfgdata16(struct pci_vdev* dev, int offset, uint16_t val);
int pci_emul_alloc_bar(struct pci_vdev* dev, int idx, enum pcibar_type type, uint64_t size);
int pci_emul_add_msicap(struct pci_vdev* dev, int msgnum);
int pci_emul_add_msixcap(struct pci_vdev* dev, int msgnum, int barnum);
int pci_emul_msix_twrite(struct pci_vdev* dev, uint64_t offset, int size, uint64_t value);
uint64_t pci_emul_msix_tread(struct pci_vdev* dev, uint64_t offset, int size);
int pci_msix_table_bar(struct pci_vdev* dev);
int pci_msix_enabled(struct pci_vdev* dev);
void pci_generate_msix(struct pci_vdev* dev, int index);
void pci_generate_msi(struct pci_vdev* dev, int index);
void pci_lintr_request(struct pci_vdev* dev);
void pci_lintr_assert(struct pci_vdev* dev);
void pci_lintr_deassert(struct pci_vdev* dev);

#endif
