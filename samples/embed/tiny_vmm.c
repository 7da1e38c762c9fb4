/* A virtual machine monitor with a disk of libacrn-blk: one virtual CPU of KVM, guest RAM, a serial port to write to, a
 * PCI bus with two functions. Boots a Linux bzImage until the guest reboots.
 *   cc tiny_vmm.c $(pkg-config --cflags --libs acrn-blk) -o tiny_vmm
 *   ./tiny_vmm vmlinuz initrd.gz 'console=ttyS0' disk.img,writeback
 * Sources of the numbers: Linux' Documentation/arch/x86/boot.rst, PCI 3.0, the data sheet of the 16550. */
#include <acrn-blk.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM_SIZE (256ul << 20)
#define BOOT_PARAMS 0x10000u
#define COMMAND_LINE 0x20000u
#define GDT 0x500u
#define KERNEL 0x100000u
#define SERIAL 0x3f8u
#define SERIAL_IRQ 4
#define DISK_SLOT 1
#define DISK_IRQ 11

static int kvm, vm, vcpu;
static unsigned char* ram;
static acrn_blk* disk;

static void die(const char* what) {
  fprintf(stderr, "tiny_vmm: %s: %s\n", what, errno != 0 ? strerror(errno) : "it cannot be used");
  exit(1);
}

static int call(int fd, unsigned long request, void* argument, const char* what) {
  const int result = ioctl(fd, request, argument);
  if (result < 0) die(what);
  return result;
}

/* --- interrupts */

static void set_irq(unsigned irq, int level) {
  struct kvm_irq_level line = {.irq = irq, .level = (uint32_t)level};
  ioctl(vm, KVM_IRQ_LINE, &line);
}

static void disk_intx(void* context, int level) {
  (void)context;
  set_irq(DISK_IRQ, level);
}

static void disk_msi(void* context, uint64_t address, uint32_t data) {
  struct kvm_msi message = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};
  (void)context;
  ioctl(vm, KVM_SIGNAL_MSI, &message);
}

/* --- the disk's kicks, as eventfds where its BAR0 is */

static void place_doorbells(void) {
  static uint64_t placed = UINT64_MAX;
  const uint64_t at = acrn_blk_bar_address(disk, 0);
  struct acrn_blk_doorbell doorbell = {.struct_size = sizeof(doorbell)};
  unsigned i;

  if (at == placed) return;
  for (i = 0; acrn_blk_get_doorbell(disk, i, &doorbell) == 0; i++) {
    struct kvm_ioeventfd event = {.datamatch = doorbell.data,
                                  .len = doorbell.size,
                                  .fd = doorbell.fd,
                                  .flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH};
    if (placed != UINT64_MAX) {
      event.addr = placed + doorbell.offset;
      event.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
      ioctl(vm, KVM_IOEVENTFD, &event);
    }
    if (at == UINT64_MAX || doorbell.fd < 0) continue;
    event.addr = at + doorbell.offset;
    event.flags &= ~(uint32_t)KVM_IOEVENTFD_FLAG_DEASSIGN;
    ioctl(vm, KVM_IOEVENTFD, &event); /* where it fails, the kick is an access */
  }
  placed = at;
}

/* --- PCI by ports 0xcf8 and 0xcfc: a host bridge in slot 0, the disk in slot 1 */

static uint32_t config_address;

static uint32_t config_read(unsigned offset, unsigned size) {
  static const uint32_t bridge[] = {0x12378086, 0, 0x06000000}; /* identity and class */
  const unsigned function = config_address >> 8 & 0xffff;

  if (config_address >> 31 == 0) return ~0u;
  if (function == DISK_SLOT << 3) return acrn_blk_config_read(disk, offset, size);
  if (function != 0) return ~0u;
  return offset < sizeof(bridge) ? bridge[offset / 4] >> 8 * (offset % 4) : 0;
}

static void config_write(unsigned offset, unsigned size, uint32_t value) {
  if (config_address >> 31 == 0 || (config_address >> 8 & 0xffff) != DISK_SLOT << 3) return;
  acrn_blk_config_write(disk, offset, size, value);
  place_doorbells();
}

/* --- the serial port: what a driver needs to write to it */

static struct {
  unsigned char ier, lcr, mcr, scratch;
  int sent; /* an interrupt says that there is room */
} uart;

static void update_serial_irq(void) { set_irq(SERIAL_IRQ, (uart.ier & 2) != 0 && uart.sent); }

static unsigned char serial_read(unsigned reg) {
  const int pending = (uart.ier & 2) != 0 && uart.sent;

  switch (reg) {
    case 1: return uart.ier;
    case 2:
      if (pending) uart.sent = 0;
      update_serial_irq();
      return pending ? 2 : 1;
    case 3: return uart.lcr;
    case 4: return uart.mcr;
    case 5: return 0x60; /* room */
    case 6: return 0xb0; /* carrier, ready, clear to send */
    case 7: return uart.scratch;
    default: return 0;
  }
}

static void serial_write(unsigned reg, unsigned char value) {
  if (reg <= 1 && (uart.lcr & 0x80) != 0) return; /* the divisor */
  switch (reg) {
    case 0:
      putchar(value);
      fflush(stdout);
      uart.sent = 1;
      break;
    case 1:
      uart.sent |= (value & 2) != 0 && (uart.ier & 2) == 0;
      uart.ier = value & 0xf;
      break;
    case 3: uart.lcr = value; break;
    case 4: uart.mcr = value; break;
    case 7: uart.scratch = value; break;
    default: break;
  }
  update_serial_irq();
}

/* --- exits of the virtual CPU */

static uint32_t port_read(uint16_t port, unsigned size) {
  const uint64_t bar = acrn_blk_bar_address(disk, 0);

  if (bar <= port && port - bar < acrn_blk_bar_size(disk, 0))
    return (uint32_t)acrn_blk_bar_read(disk, 0, port - bar, size);
  if (port == 0xcf8 && size == 4) return config_address;
  if (port >= 0xcfc && port <= 0xcff) return config_read((config_address & 0xfc) + (port & 3u), size);
  if (port >= SERIAL && port < SERIAL + 8) return serial_read(port - SERIAL);
  return ~0u;
}

/* 0: the guest wants to reboot. */
static int port_write(uint16_t port, unsigned size, uint32_t value) {
  const uint64_t bar = acrn_blk_bar_address(disk, 0);

  if (bar <= port && port - bar < acrn_blk_bar_size(disk, 0))
    acrn_blk_bar_write(disk, 0, port - bar, size, value);
  else if (port == 0xcf8 && size == 4)
    config_address = value;
  else if (port >= 0xcfc && port <= 0xcff)
    config_write((config_address & 0xfc) + (port & 3u), size, value);
  else if (port >= SERIAL && port < SERIAL + 8)
    serial_write(port - SERIAL, (unsigned char)value);
  return !(port == 0x64 && value == 0xfe); /* the keyboard controller's reset line */
}

static int io_exit(struct kvm_run* run) {
  unsigned char* data = (unsigned char*)run + run->io.data_offset;
  unsigned i;

  for (i = 0; i < run->io.count; i++, data += run->io.size) {
    uint32_t value = 0;
    if (run->io.direction == KVM_EXIT_IO_IN) {
      value = port_read(run->io.port, run->io.size);
      memcpy(data, &value, run->io.size);
    } else {
      memcpy(&value, data, run->io.size);
      if (!port_write(run->io.port, run->io.size, value)) return 0;
    }
  }
  return 1;
}

static void mmio_exit(struct kvm_run* run) {
  const uint64_t bar = acrn_blk_bar_address(disk, 1), at = run->mmio.phys_addr - bar;
  const int ours = bar != UINT64_MAX && at < acrn_blk_bar_size(disk, 1);
  uint64_t value = ~0ull;

  if (run->mmio.is_write) {
    memcpy(&value, run->mmio.data, sizeof(value));
    if (ours) acrn_blk_bar_write(disk, 1, at, run->mmio.len, value);
    return;
  }
  if (ours) value = acrn_blk_bar_read(disk, 1, at, run->mmio.len);
  memcpy(run->mmio.data, &value, run->mmio.len);
}

/* --- what firmware does: loads the kernel, and starts it by the 32-bit boot protocol */

static size_t load(const char* path, unsigned char** data) {
  struct stat status;
  const int fd = open(path, O_RDONLY);
  size_t size;

  if (fd < 0 || fstat(fd, &status) != 0) die(path);
  size = (size_t)status.st_size;
  *data = malloc(size + 1);
  if (*data == NULL || read(fd, *data, size) != (ssize_t)size) die(path);
  close(fd);
  return size;
}

static void put32(unsigned at, uint32_t value) { memcpy(ram + at, &value, sizeof(value)); }

static void add_e820(unsigned index, uint64_t begin, uint64_t end) {
  const uint64_t size = end - begin;
  const unsigned at = BOOT_PARAMS + 0x2d0 + 20 * index;

  memcpy(ram + at, &begin, 8);
  memcpy(ram + at + 8, &size, 8);
  put32(at + 16, 1); /* usable */
  ram[BOOT_PARAMS + 0x1e8] = (unsigned char)(index + 1);
}

static void load_linux(const char* kernel_path, const char* initrd_path, const char* command_line) {
  unsigned char *kernel, *initrd;
  const size_t size = load(kernel_path, &kernel), initrd_size = load(initrd_path, &initrd);
  const size_t setup = size > 0x264 ? ((kernel[0x1f1] == 0 ? 4u : kernel[0x1f1]) + 1u) * 512u : 0;
  const uint32_t initrd_at = (uint32_t)((RAM_SIZE - initrd_size) & ~0xffful);

  errno = 0;
  if (setup == 0 || setup > size || memcmp(kernel + 0x202, "HdrS", 4) != 0) die(kernel_path);
  memcpy(ram + BOOT_PARAMS + 0x1f1, kernel + 0x1f1, 0x202u + kernel[0x201] - 0x1f1u);
  if (initrd_size > RAM_SIZE / 2 || size > RAM_SIZE / 4 || strlen(command_line) > 2047)
    die("kernel, initrd or command line");
  memcpy(ram + KERNEL, kernel + setup, size - setup);
  memcpy(ram + initrd_at, initrd, initrd_size);
  memcpy(ram + COMMAND_LINE, command_line, strlen(command_line) + 1);
  ram[BOOT_PARAMS + 0x210] = 0xff; /* some loader */
  put32(BOOT_PARAMS + 0x218, initrd_at);
  put32(BOOT_PARAMS + 0x21c, (uint32_t)initrd_size);
  put32(BOOT_PARAMS + 0x228, COMMAND_LINE);
  add_e820(0, 0, 0x9fc00);
  add_e820(1, KERNEL, RAM_SIZE);
  free(kernel);
  free(initrd);
}

static void set_segment(struct kvm_segment* segment, uint16_t selector, uint8_t type) {
  *segment =
      (struct kvm_segment){.limit = ~0u, .selector = selector, .type = type, .present = 1, .db = 1, .s = 1, .g = 1};
}

static void start_cpu(void) {
  static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};
  struct kvm_sregs sregs;
  struct kvm_regs regs = {.rip = KERNEL, .rsi = BOOT_PARAMS, .rflags = 2};
  struct kvm_cpuid2* cpuid = calloc(1, sizeof(*cpuid) + 100 * sizeof(cpuid->entries[0]));
  unsigned i;

  if (cpuid == NULL) die("memory");
  cpuid->nent = 100;
  call(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");
  for (i = 0; i < cpuid->nent; i++) {
    if (cpuid->entries[i].function == 1)
      cpuid->entries[i].ecx |= 1u << 31; /* a hypervisor: the guest uses KVM's clock */
  }
  call(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
  free(cpuid);
  memcpy(ram + GDT, gdt, sizeof(gdt));
  call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
  sregs.gdt.base = GDT;
  sregs.gdt.limit = sizeof(gdt) - 1;
  set_segment(&sregs.cs, 0x10, 0xb);
  set_segment(&sregs.ds, 0x18, 0x3);
  sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
  sregs.cr0 |= 1; /* protected mode */
  call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
  call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

static void make_machine(void) {
  uint64_t identity_map = 0xfffbc000;
  struct kvm_pit_config timer = {0};
  struct kvm_irqchip pic = {.chip_id = KVM_IRQCHIP_PIC_SLAVE};
  struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE};

  kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) die("/dev/kvm");
  vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
  call(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR");
  call(vm, KVM_SET_TSS_ADDR, (void*)0xfffbd000ul, "KVM_SET_TSS_ADDR");
  call(vm, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
  call(vm, KVM_CREATE_PIT2, &timer, "KVM_CREATE_PIT2");
  call(vm, KVM_GET_IRQCHIP, &pic, "KVM_GET_IRQCHIP");
  pic.chip.pic.elcr |= 1u << (DISK_IRQ - 8); /* INTA# is a level */
  call(vm, KVM_SET_IRQCHIP, &pic, "KVM_SET_IRQCHIP");
  ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) die("guest RAM");
  region.userspace_addr = (uintptr_t)ram;
  call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
  vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
}

static void make_disk(const char* options) {
  const struct acrn_blk_region region = {.gpa = 0, .size = RAM_SIZE, .host = ram};
  const struct acrn_blk_disk what = {.struct_size = sizeof(what), .slot = "1", .options = options, .vcpus = 1};
  const struct acrn_blk_function_callbacks callbacks = {
      .struct_size = sizeof(callbacks), .send_msi = disk_msi, .set_intx = disk_intx};

  disk = acrn_blk_new();
  if (disk == NULL || acrn_blk_set_memory(disk, &region, 1, sizeof(region)) != 0 ||
      acrn_blk_create_function(disk, &what, &callbacks) != 0) {
    fprintf(stderr, "tiny_vmm: %s\n", acrn_blk_error(disk));
    exit(1);
  }
  acrn_blk_config_write(disk, 0x3c, 1, DISK_IRQ);
}

int main(int argc, char** argv) {
  struct kvm_run* run;
  int runs = 1;

  if (argc != 5) {
    fprintf(stderr, "usage: tiny_vmm <bzImage> <initrd> <command line> <disk>[,option...]\n");
    return 64;
  }
  make_machine();
  make_disk(argv[4]);
  load_linux(argv[1], argv[2], argv[3]);
  start_cpu();
  run = mmap(NULL, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE"), PROT_READ | PROT_WRITE,
             MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) die("the virtual CPU");
  while (runs) {
    if (ioctl(vcpu, KVM_RUN, NULL) != 0 && errno != EINTR) die("KVM_RUN");
    switch (run->exit_reason) {
      case KVM_EXIT_IO: runs = io_exit(run); break;
      case KVM_EXIT_MMIO: mmio_exit(run); break;
      case KVM_EXIT_INTR: break;
      default: runs = 0; break; /* a triple fault is a reboot, too */
    }
  }
  if (acrn_blk_flush(disk) != 0) fprintf(stderr, "tiny_vmm: %s\n", acrn_blk_error(disk));
  acrn_blk_free(disk);
  return 0;
}
