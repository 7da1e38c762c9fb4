// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Takes the hypercalls of Linux's ACRN driver to a process that plays the hypervisor. The driver is built with
 * without_acrn.h this folder, so that it calls us where it would leave for ACRN. For tests.
 *
 * /dev/acrn_hypercalls: read() gives one struct hypercall, write() answers one, or raises the interrupt for which the
 * driver looks at the request page. Calls that the driver makes where it must not sleep have no answer.
 */
#include "acrn_hypercalls.h"

#include <linux/completion.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "acrn_drv.h"

struct call {
  struct list_head list;
  struct hypercall what;
  struct completion answered;
  bool waited_for;
};

static DEFINE_SPINLOCK(lock); /* lists, the next number, whether there is a hypervisor */
static LIST_HEAD(fresh);
static LIST_HEAD(handed_over);
static u64 next_number = 1;
static bool is_open;
static DECLARE_WAIT_QUEUE_HEAD(readable);
static void (*interrupt)(void);

void acrn_setup_intr_handler(void (*handler)(void)) { interrupt = handler; }
EXPORT_SYMBOL_GPL(acrn_setup_intr_handler);

void acrn_remove_intr_handler(void) { interrupt = NULL; }
EXPORT_SYMBOL_GPL(acrn_remove_intr_handler);

/* `data`: in and out. */
static long submit(struct hypercall* what, void* data, u32 size, bool wait) {
  struct call* call = kzalloc(sizeof(*call), GFP_ATOMIC);
  unsigned long flags;
  long result = 0;

  if (!call) return -ENOMEM;
  call->what = *what;
  call->what.process = task_tgid_nr(current);
  call->what.size = size;
  if (data) memcpy(call->what.data, data, size);
  call->waited_for = wait;
  init_completion(&call->answered);

  spin_lock_irqsave(&lock, flags);
  if (!is_open) {
    spin_unlock_irqrestore(&lock, flags);
    kfree(call);
    return -ENODEV;
  }
  call->what.number = wait ? next_number++ : 0;
  list_add_tail(&call->list, &fresh);
  spin_unlock_irqrestore(&lock, flags);
  wake_up(&readable);
  if (!wait) return 0;

  wait_for_completion(&call->answered);
  result = call->what.result;
  if (data) memcpy(data, call->what.data, size);
  kfree(call);
  return result;
}

/* The driver lists pages; the hypervisor is told of the first one and of all their size. */
static long set_memory_regions(u64 batch_pa) {
  struct vm_memory_region_batch* batch = phys_to_virt(batch_pa);
  struct vm_memory_region_op* regions = phys_to_virt(batch->regions_gpa);
  struct hypercall what = {.id = HC_VM_SET_MEMORY_REGIONS};
  struct vm_memory_region_op all = regions[0];
  u32 i;

  for (i = 1; i < batch->regions_num; i++) {
    if (regions[i].user_vm_pa != all.user_vm_pa + all.size) return -EINVAL;
    all.size += regions[i].size;
  }
  return submit(&what, &all, sizeof(all), true);
}

static long hypercall(unsigned long id, unsigned long first, unsigned long second) {
  struct hypercall what = {.id = id, .arguments = {first, second}};

  switch (id) {
    case HC_CREATE_VM: return submit(&what, phys_to_virt(first), sizeof(struct acrn_vm_creation), true);
    case HC_SET_IOREQ_BUFFER: return submit(&what, phys_to_virt(second), sizeof(struct acrn_ioreq_buffer), true);
    case HC_SET_VCPU_REGS: return submit(&what, phys_to_virt(second), sizeof(struct acrn_vcpu_regs), true);
    case HC_VM_SET_MEMORY_REGIONS: return set_memory_regions(first);
    case HC_INJECT_MSI: return submit(&what, phys_to_virt(second), sizeof(struct acrn_msi_entry), false);
    case HC_NOTIFY_REQUEST_FINISH: return submit(&what, NULL, 0, false);
    case HC_START_VM:
    case HC_PAUSE_VM:
    case HC_RESET_VM:
    case HC_DESTROY_VM:
    case HC_SET_IRQLINE: return submit(&what, NULL, 0, true);
    default: return -EINVAL;
  }
}

long acrn_hypercall1(unsigned long id, unsigned long first) { return hypercall(id, first, 0); }
EXPORT_SYMBOL_GPL(acrn_hypercall1);

long acrn_hypercall2(unsigned long id, unsigned long first, unsigned long second) {
  return hypercall(id, first, second);
}
EXPORT_SYMBOL_GPL(acrn_hypercall2);

static struct call* take_first(void) {
  struct call* call;
  unsigned long flags;

  spin_lock_irqsave(&lock, flags);
  call = list_first_entry_or_null(&fresh, struct call, list);
  if (call && call->waited_for)
    list_move_tail(&call->list, &handed_over);
  else if (call)
    list_del(&call->list);
  spin_unlock_irqrestore(&lock, flags);
  return call;
}

static ssize_t hypercalls_read(struct file* file, char __user* to, size_t size, loff_t* offset) {
  struct call* call = NULL;
  bool failed, waited_for;

  if (size != sizeof(struct hypercall)) return -EINVAL;
  if (wait_event_interruptible(readable, (call = take_first()) != NULL)) return -EINTR;
  waited_for = call->waited_for;
  failed = copy_to_user(to, &call->what, size) != 0;
  if (!waited_for) kfree(call);
  return failed ? -EFAULT : size;
}

static ssize_t hypercalls_write(struct file* file, const char __user* from, size_t size, loff_t* offset) {
  struct hypercall* answer;
  struct call* call;
  unsigned long flags;

  if (size != sizeof(*answer)) return -EINVAL;
  answer = memdup_user(from, size);
  if (IS_ERR(answer)) return PTR_ERR(answer);
  if (answer->number == 0) {
    local_irq_save(flags);
    if (interrupt) interrupt();
    local_irq_restore(flags);
  }
  spin_lock_irqsave(&lock, flags);
  list_for_each_entry(call, &handed_over, list) {
    if (call->what.number != answer->number) continue;
    list_del(&call->list);
    call->what.result = answer->result;
    memcpy(call->what.data, answer->data, call->what.size);
    complete(&call->answered);
    break;
  }
  spin_unlock_irqrestore(&lock, flags);
  kfree(answer);
  return size;
}

static int hypercalls_open(struct inode* inode, struct file* file) {
  unsigned long flags;
  bool was_open;

  spin_lock_irqsave(&lock, flags);
  was_open = is_open;
  is_open = true;
  spin_unlock_irqrestore(&lock, flags);
  return was_open ? -EBUSY : 0;
}

/* What was not answered fails. */
static int hypercalls_release(struct inode* inode, struct file* file) {
  struct call *call, *next;
  unsigned long flags;

  spin_lock_irqsave(&lock, flags);
  is_open = false;
  list_splice_init(&fresh, &handed_over);
  list_for_each_entry_safe(call, next, &handed_over, list) {
    list_del(&call->list);
    call->what.result = -ENODEV;
    if (call->waited_for)
      complete(&call->answered);
    else
      kfree(call);
  }
  spin_unlock_irqrestore(&lock, flags);
  return 0;
}

static const struct file_operations hypercalls_operations = {
    .owner = THIS_MODULE,
    .open = hypercalls_open,
    .release = hypercalls_release,
    .read = hypercalls_read,
    .write = hypercalls_write,
};

static struct miscdevice hypercalls = {
    .minor = MISC_DYNAMIC_MINOR,
    .name = "acrn_hypercalls",
    .fops = &hypercalls_operations,
};
module_misc_device(hypercalls);

MODULE_DESCRIPTION("Hypercalls of the ACRN driver, for a process");
MODULE_LICENSE("Dual MIT/GPL");
