/* virtio-blk of ACRN's device model, by libacrn-blk: in place of its virtio_block.c and block_if.c. See README.md. */
#include <acrn-blk.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those of the device model, in its order. clang-format off */
#include "dm.h"
#include "monitor.h"
#include "pci_core.h"
#include "vmmapi.h"
/* clang-format on */

#define REGISTER_BAR 0
#define MSIX_BAR 1
#define STATUS 18 /* offset of the device status in BAR0 (virtio 0.9.5 2.2.2) */
#define DRIVER_OK 4

struct disk {
  struct pci_vdev* dev;
  struct vmctx* ctx;
  acrn_blk* blk;
  char slot[16];
  pthread_mutex_t mutex; /* virtual CPUs may write the status at once */
  uint64_t doorbells_at; /* of BAR0, when its doorbells are the hypervisor's; 0: they are not */
  struct disk* next;
};

static pthread_mutex_t disks_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct disk* disks; /* for blkrescan */

static int msix_enabled(void* context) {
  struct disk* disk = context;
  return pci_msix_enabled(disk->dev);
}

static void send_vector(void* context, unsigned vector) {
  struct disk* disk = context;
  pci_generate_msix(disk->dev, (int)vector);
}

static void send_msi(void* context) {
  struct disk* disk = context;
  pci_generate_msi(disk->dev, 0);
}

static void set_isr(void* context, int level) {
  struct disk* disk = context;
  if (level)
    pci_lintr_assert(disk->dev);
  else
    pci_lintr_deassert(disk->dev);
}

static void write_log(void* context, int level, const char* line) {
  (void)context;
  (void)level;
  fprintf(stderr, "%s\n", line);
}

static int set_memory(struct disk* disk) {
  struct acrn_blk_region regions[2];
  size_t count = 0;
  const size_t low = vm_get_lowmem_size(disk->ctx), high = vm_get_highmem_size(disk->ctx);

  memset(regions, 0, sizeof(regions));
  if (low != 0) {
    regions[count].gpa = 0;
    regions[count].size = low;
    regions[count++].host = vm_map_gpa(disk->ctx, 0, low);
  }
  if (high != 0) {
    regions[count].gpa = disk->ctx->highmem_gpa_base;
    regions[count].size = high;
    regions[count++].host = vm_map_gpa(disk->ctx, disk->ctx->highmem_gpa_base, high);
  }
  return acrn_blk_set_memory(disk->blk, regions, count, sizeof(regions[0]));
}

/* Tells the hypervisor of all doorbells of BAR0 at that address; flags: 0, or DEASSIGN. */
static void tell_doorbells(struct disk* disk, uint64_t at, uint32_t flags) {
  struct acrn_blk_doorbell doorbell = {.struct_size = sizeof(doorbell)};
  unsigned i;

  for (i = 0; acrn_blk_get_doorbell(disk->blk, i, &doorbell) == 0; i++) {
    struct acrn_ioeventfd event = {.fd = doorbell.fd,
                                   .flags = ACRN_IOEVENTFD_FLAG_PIO | ACRN_IOEVENTFD_FLAG_DATAMATCH | flags,
                                   .addr = at + doorbell.offset,
                                   .len = doorbell.size,
                                   .data = doorbell.data};
    if (doorbell.fd >= 0 && vm_ioeventfd(disk->ctx, &event) != 0)
      fprintf(stderr, "virtio-blk %s: ioeventfd failed: its kicks are exits\n", disk->slot);
  }
}

/* Kicks as signals of eventfds while the driver runs, so that they need no exit to the device model. Virtual CPUs may
 * write the status at once, so what counts is what it is now. */
static void place_doorbells(struct disk* disk) {
  uint64_t at;

  pthread_mutex_lock(&disk->mutex);
  at = (acrn_blk_bar_read(disk->blk, REGISTER_BAR, STATUS, 1) & DRIVER_OK) != 0 ? disk->dev->bar[REGISTER_BAR].addr : 0;
  if (at != disk->doorbells_at) {
    if (disk->doorbells_at != 0) tell_doorbells(disk, disk->doorbells_at, ACRN_IOEVENTFD_FLAG_DEASSIGN);
    if (at != 0) tell_doorbells(disk, at, 0);
    disk->doorbells_at = at;
  }
  pthread_mutex_unlock(&disk->mutex);
}

static void end_disk(struct disk* disk) {
  acrn_blk_free(disk->blk);
  pthread_mutex_destroy(&disk->mutex);
  free(disk);
}

static int fail(struct disk* disk) {
  fprintf(stderr, "%s\n", acrn_blk_error(disk->blk));
  end_disk(disk);
  return -1;
}

/* blkrescan <slot>,<path>[,options]. Some versions register it, others call it by this name. */
int vm_monitor_blkrescan(void* context, char* arguments);
int vm_monitor_blkrescan(void* context, char* arguments) {
  const char* comma = strchr(arguments, ',');
  struct disk* disk;
  int result = -1;
  (void)context;

  pthread_mutex_lock(&disks_mutex);
  for (disk = disks; disk != NULL && disk->dev->slot != atoi(arguments);) disk = disk->next;
  if (disk == NULL || comma == NULL) {
    fprintf(stderr, "blkrescan %s: give <slot>,<path>, with the slot of a virtio-blk\n", arguments);
  } else if (acrn_blk_rescan(disk->blk, comma + 1) != 0) {
    fprintf(stderr, "%s\n", acrn_blk_error(disk->blk));
  } else {
    result = 0;
  }
  pthread_mutex_unlock(&disks_mutex);
  return result;
}

static struct monitor_vm_ops rescan_ops = {.rescan = vm_monitor_blkrescan};

static int disk_init(struct vmctx* ctx, struct pci_vdev* dev, char* opts) {
  static int registered;
  struct acrn_blk_disk options = {.struct_size = sizeof(options)};
  struct acrn_blk_register_callbacks callbacks = {.struct_size = sizeof(callbacks),
                                                  .msix_enabled = msix_enabled,
                                                  .send_vector = send_vector,
                                                  .set_isr = set_isr,
                                                  .send_msi = send_msi};
  struct disk* disk = calloc(1, sizeof(*disk));

  if (disk == NULL) return -1;
  if (!registered) {
    registered = 1;
    acrn_blk_set_log(3, write_log, NULL);
    monitor_register_vm_ops(&rescan_ops, ctx, "blkrescan");
  }
  pthread_mutex_init(&disk->mutex, NULL);
  disk->ctx = ctx;
  disk->dev = dev;
  disk->blk = acrn_blk_new();
  if (disk->blk == NULL) {
    end_disk(disk);
    return -1;
  }
  snprintf(disk->slot, sizeof(disk->slot), "%u:%u:%u", dev->bus, dev->slot, dev->func);
  options.slot = disk->slot;
  options.options = opts != NULL ? opts : "";
  callbacks.context = disk;
  if (set_memory(disk) != 0 || acrn_blk_create_registers(disk->blk, &options, &callbacks) != 0) return fail(disk);

  pci_set_cfgdata16(dev, 0x00, 0x1af4); /* vendor, device, class, subsystem (virtio 0.9.5 2.1) */
  pci_set_cfgdata16(dev, 0x02, 0x1001);
  pci_set_cfgdata8(dev, 0x0b, 0x01);
  pci_set_cfgdata16(dev, 0x2c, 0x1af4);
  pci_set_cfgdata16(dev, 0x2e, 0x0002);
  if (pci_emul_add_msixcap(dev, (int)acrn_blk_vectors(disk->blk), MSIX_BAR) != 0) {
    end_disk(disk);
    return -1;
  }
  pci_emul_add_msicap(dev, 1);
  pci_lintr_request(dev);
  if (pci_emul_alloc_bar(dev, REGISTER_BAR, PCIBAR_IO, acrn_blk_bar_size(disk->blk, REGISTER_BAR)) != 0) {
    end_disk(disk);
    return -1;
  }
  dev->arg = disk;
  pthread_mutex_lock(&disks_mutex);
  disk->next = disks;
  disks = disk;
  pthread_mutex_unlock(&disks_mutex);
  return 0;
}

/* Also for a reset of the VM, which is this and disk_init(). */
static void disk_deinit(struct vmctx* ctx, struct pci_vdev* dev, char* opts) {
  struct disk *disk = dev->arg, **link;
  (void)ctx;
  (void)opts;

  if (disk == NULL) return;
  dev->arg = NULL;
  pthread_mutex_lock(&disks_mutex);
  for (link = &disks; *link != disk;) link = &(*link)->next;
  *link = disk->next;
  pthread_mutex_unlock(&disks_mutex);
  if (acrn_blk_quiesce(disk->blk) != 0 || acrn_blk_flush(disk->blk) != 0)
    fprintf(stderr, "%s\n", acrn_blk_error(disk->blk));
  acrn_blk_reset(disk->blk);
  place_doorbells(disk);
  end_disk(disk);
}

static void disk_write(struct vmctx* ctx, int vcpu, struct pci_vdev* dev, int bar, uint64_t offset, int size,
                       uint64_t value) {
  struct disk* disk = dev->arg;
  (void)ctx;
  (void)vcpu;

  if (bar == pci_msix_table_bar(dev)) {
    pci_emul_msix_twrite(dev, offset, size, value);
    return;
  }
  if (disk == NULL) return;
  acrn_blk_bar_write(disk->blk, (unsigned)bar, offset, (unsigned)size, value);
  if (bar == REGISTER_BAR && offset == STATUS) place_doorbells(disk);
}

static uint64_t disk_read(struct vmctx* ctx, int vcpu, struct pci_vdev* dev, int bar, uint64_t offset, int size) {
  struct disk* disk = dev->arg;
  (void)ctx;
  (void)vcpu;

  if (bar == pci_msix_table_bar(dev)) return pci_emul_msix_tread(dev, offset, size);
  if (disk == NULL) return ~0ull;
  return acrn_blk_bar_read(disk->blk, (unsigned)bar, offset, (unsigned)size);
}

struct pci_vdev_ops pci_ops_virtio_blk = {
    .class_name = "virtio-blk",
    .vdev_init = disk_init,
    .vdev_deinit = disk_deinit,
    .vdev_barwrite = disk_write,
    .vdev_barread = disk_read,
};
DEFINE_PCI_DEVTYPE(pci_ops_virtio_blk);
