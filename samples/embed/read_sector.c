/* The smallest host of libacrn-blk: no virtual CPU, a megabyte of guest RAM, and a driver of a few lines that reads one
 * sector of an image by a virtqueue.
 *   cc read_sector.c $(pkg-config --cflags --libs acrn-blk) && ./a.out disk.img [sector] */
#include <acrn-blk.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guest RAM: a page below the ring is the request's; the ring is at 0x10000 (virtio 0.9.5 2.3). */
#define RAM_SIZE 0x100000
#define HEADER 0x1000
#define DATA 0x1200
#define STATUS 0x1400
#define RING 0x10000

/* Registers of BAR0 (2.2.2). */
enum { GUEST_FEATURES = 4, QUEUE_PFN = 8, QUEUE_NUM = 12, QUEUE_SEL = 14, QUEUE_NOTIFY = 16, DEVICE_STATUS = 18 };

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next; /* flags: 1 goes on at next, 2 the device writes it */
};

static int no_msix(void* context) {
  (void)context;
  return 0;
}
static void no_vector(void* context, unsigned vector) {
  (void)context;
  (void)vector;
}
static void no_isr(void* context, int level) { /* this driver looks at the ring instead */
  (void)context;
  (void)level;
}

static int fail(acrn_blk* blk) {
  fprintf(stderr, "%s\n", acrn_blk_error(blk));
  acrn_blk_free(blk);
  return 1;
}

int main(int argc, char** argv) {
  unsigned char* ram = aligned_alloc(4096, RAM_SIZE);
  acrn_blk* blk = acrn_blk_new();
  struct acrn_blk_region region = {.gpa = 0, .size = RAM_SIZE, .host = ram};
  struct acrn_blk_disk disk = {.struct_size = sizeof(disk), .slot = "9"};
  struct acrn_blk_register_callbacks callbacks = {
      .struct_size = sizeof(callbacks), .msix_enabled = no_msix, .send_vector = no_vector, .set_isr = no_isr};
  struct descriptor chain[3] = {{HEADER, 16, 1, 1}, {DATA, 512, 1 | 2, 2}, {STATUS, 1, 2, 0}};
  uint64_t header[2] = {0, argc > 2 ? strtoull(argv[2], NULL, 0) : 0}; /* a read of that sector */
  volatile uint16_t* used_index;
  uint16_t size;
  unsigned i;

  if (argc < 2 || ram == NULL || blk == NULL) {
    fprintf(stderr, "usage: read_sector <image>[,option...] [sector]\n");
    return 64;
  }
  memset(ram, 0, RAM_SIZE);
  disk.options = argv[1];
  if (acrn_blk_set_memory(blk, &region, 1, sizeof(region)) != 0) return fail(blk);
  if (acrn_blk_create_registers(blk, &disk, &callbacks) != 0) return fail(blk);

  acrn_blk_bar_write(blk, 0, DEVICE_STATUS, 1, 3); /* ACKNOWLEDGE, DRIVER */
  acrn_blk_bar_write(blk, 0, GUEST_FEATURES, 4, 0);
  acrn_blk_bar_write(blk, 0, QUEUE_SEL, 2, 0);
  size = (uint16_t)acrn_blk_bar_read(blk, 0, QUEUE_NUM, 2);
  acrn_blk_bar_write(blk, 0, QUEUE_PFN, 4, RING >> 12);
  acrn_blk_bar_write(blk, 0, DEVICE_STATUS, 1, 7); /* DRIVER_OK */

  memcpy(ram + HEADER, header, sizeof(header));
  ram[STATUS] = 0xff;
  memcpy(ram + RING, chain, sizeof(chain));
  /* The available ring is behind the descriptors: flags, index, heads. The used ring begins on the next page. */
  ((volatile uint16_t*)(ram + RING + size * sizeof(chain[0])))[1] = 1;
  used_index = (volatile uint16_t*)(ram + RING + ((size * sizeof(chain[0]) + 6 + 2u * size + 4095) & ~4095u)) + 1;
  acrn_blk_bar_write(blk, 0, QUEUE_NOTIFY, 2, 0);
  while (*used_index == 0) sched_yield();
  __sync_synchronize();

  if (ram[STATUS] != 0) fprintf(stderr, "the device answered with status %u\n", ram[STATUS]);
  for (i = 0; i < 512 && ram[STATUS] == 0; i++) printf("%02x%c", ram[DATA + i], i % 16 == 15 ? '\n' : ' ');
  i = ram[STATUS];
  acrn_blk_free(blk);
  free(ram);
  return i == 0 ? 0 : 1;
}
