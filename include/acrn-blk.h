/* libacrn-blk: the virtio-blk device of acrn-dm for other device models, as a C library.
 *
 * A host is a program that runs a virtual machine. It makes one acrn_blk for each disk, in one of two forms:
 *   a whole PCI function (acrn_blk_create_function): the host passes on accesses to configuration space and BARs, and
 *     sends the messages and drives the wire that the function asks for;
 *   the register block (acrn_blk_create_registers): the host has configuration space, MSI-X table and interrupt wire of
 *     its own, and passes on accesses to BAR0 alone.
 * The guest sees a legacy virtio PCI function, 1af4:1001 (virtio 0.9.5).
 *
 * Results: 0, or a negative errno, and then acrn_blk_error() says in one line what was wrong; there is no text for
 * -ENOMEM and of calls marked [access]. What a guest does is never an error of a call. The library prints nothing,
 * installs no signal handler and ends no process, unless its own threads find no memory at all. A disk with format= or
 * snapshot has a child process of its own, one of QEMU's programs, until acrn_blk_free().
 *
 * Threads: calls marked [access] may be made by any thread at any time, also at once, after acrn_blk_create_*() has
 * returned and until acrn_blk_free(); a virtual CPU makes them. Those marked [control] are made one at a time for each
 * handle, on any thread but those of the library, and may wait for requests in flight. Threads start in
 * acrn_blk_create_*() and when a disk first needs them, and end in acrn_blk_free().
 *
 * Callbacks come on the thread that makes a call and on the library's. They return soon, make no call of the library,
 * and take no lock that the host holds across a call of the library: a write that resets the device waits for the
 * library's threads, which may be in a callback.
 *
 * Signals: the library's threads have all of them blocked but those of a crash. fork(): a child that does not exec may
 * make handles of its own, and makes no call on those of its parent; while it lives, images that the parent had open
 * stay locked. No other thread makes a call during the fork.
 */
#ifndef ACRN_BLK_H
#define ACRN_BLK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ACRN_BLK_API __attribute__((visibility("default")))

/* The version of this header: major << 16 | minor << 8 | patch. */
#define ACRN_BLK_VERSION 0x000100u

/* One disk. */
typedef struct acrn_blk acrn_blk;

/* The version of the library, as above. Any thread. */
ACRN_BLK_API unsigned acrn_blk_version(void);
/* Whether the library has a feature that a later one may lack, or an earlier one lacked: "function", "registers",
 * "memory-fd", "stats", "sigbus", "events", "eventfds". Any thread. */
ACRN_BLK_API int acrn_blk_has(const char* feature);

/* The log, of all handles in the process: lines of a level up to `level`, which is 1 (errors) to 5 (debug), or 0 for
 * none, as it is at first. On any thread. Before the first handle is made. */
typedef void acrn_blk_log(void* context, int level, const char* line);
ACRN_BLK_API void acrn_blk_set_log(int level, acrn_blk_log* log, void* context);

/* A handle, without a disk; NULL: out of memory. */
ACRN_BLK_API acrn_blk* acrn_blk_new(void);
/* Waits for requests in flight, lets go of the disk, and ends the handle's threads; INTA# is low then. It does not
 * flush: see acrn_blk_flush(). The doorbells' descriptors are closed, so they are taken from the hypervisor before.
 * NULL is fine.  [control] */
ACRN_BLK_API void acrn_blk_free(acrn_blk* blk);
/* What was wrong with the last [control] call that failed; never NULL. Valid until the next one. */
ACRN_BLK_API const char* acrn_blk_error(const acrn_blk* blk);

/* What goes wrong: the first three times of each kind, and then each time its count doubles; ACRN_BLK_REQUEST_HELD each
 * time. */
enum acrn_blk_event_kind {
  ACRN_BLK_GUEST_ERROR = 1,    /* the driver breaks a rule; what comes of it is up to the driver */
  ACRN_BLK_QUEUE_STOPPED = 2,  /* so that a queue is stopped until its driver resets it */
  ACRN_BLK_DISK_ERROR = 3,     /* the disk fails a request, and the driver is told, unless the next one follows */
  ACRN_BLK_REQUEST_HELD = 4,   /* `werror` or `rerror` holds it, until acrn_blk_quiesce() and acrn_blk_resume() */
  ACRN_BLK_REQUEST_OVERDUE = 5 /* the disk has not carried it out within `io_timeout` */
};
struct acrn_blk_event {
  int kind;         /* one of those, or of a later version */
  const char* name; /* of the rule or operation, as in acrn_blk_stats(); "queue". Valid during the call */
  uint64_t count;   /* how often, this time included: a rule since the handle was made, an operation for each queue;
                       how many a queue holds */
  uint64_t value;   /* what breaks the rule; the number of the queue; an errno; milliseconds */
};
typedef void acrn_blk_event_callback(void* context, const struct acrn_blk_event* event);
/* Once, before acrn_blk_create_*(), or -EINVAL. The callback comes on any thread.  [control] */
ACRN_BLK_API int acrn_blk_set_events(acrn_blk* blk, acrn_blk_event_callback* event, void* context);

/* Guest RAM. Addresses, sizes and offsets are multiples of 4096. */
struct acrn_blk_region {
  uint64_t gpa;    /* guest-physical address */
  uint64_t size;   /* bytes */
  void* host;      /* where it is mapped for reading and writing; NULL: the library maps `fd` */
  int fd;          /* a memfd or file, which may be closed afterwards; not used with `host` */
  uint64_t offset; /* of `fd` */
};
/* Sets all of it, instead of what was set before. `region_size`: sizeof(struct acrn_blk_region). Waits for requests in
 * flight; queues whose ring is in the new memory go on, others when a later call brings it back. Once the call returns,
 * nothing uses the old memory. Errors: -EINVAL (regions that cannot be, or overlap), -ENOMEM, or that of mmap().
 * [control] */
ACRN_BLK_API int acrn_blk_set_memory(acrn_blk* blk, const struct acrn_blk_region* regions, size_t count,
                                     size_t region_size);
/* For a host that maps guest RAM by `fd` from a process that may truncate it, or has a disk with `map=on`: to be called
 * by the host's handler of SIGBUS with si_addr, if si_code is BUS_ADRERR, on any thread. 1: the address was in such a
 * region, which is private zeroes now and for good, or in a disk's file, whose request is then read by a system call;
 * return from the handler. 0: it was not. Async-signal-safe. */
ACRN_BLK_API int acrn_blk_handle_sigbus(void* address);

/* Common to both forms. `options` is what stands after "virtio-blk," in -s, as "/disk.img,writeback". */
struct acrn_blk_disk {
  size_t struct_size; /* sizeof(struct acrn_blk_disk) */
  const char* slot;   /* "9", "9:0" or "0:9:0": for messages, and for the ID of a disk without serial= */
  const char* options;
  unsigned vcpus; /* virtual CPUs, which is how many queues there may be; 0: any number */
};

/* What a whole function asks for. Any thread. */
struct acrn_blk_function_callbacks {
  size_t struct_size;
  void* context;
  void (*send_msi)(void* context, uint64_t address, uint32_t data); /* a message of MSI or MSI-X */
  void (*set_intx)(void* context, int level);                       /* the level of INTA#; one call at a time */
  /* Interrupts as eventfds, which KVM and ACRN take from the library without the host.
   * Messages, if this is not NULL: makes each signal of `fd`, the library's, send that message (a route and an irqfd),
   * and returns 0. Anything else, and send_msi is called, as it is for messages beyond the first 64 different ones. One
   * call at a time. The other, in acrn_blk_free(), takes it back. */
  int (*connect_msi)(void* context, uint64_t address, uint32_t data, int fd);
  void (*disconnect_msi)(void* context, int fd);
  /* INTA#, if set_intx is NULL: the library signals `intx_fd` when the wire goes up, and again when `resample_fd` is
   * signalled while it is up (KVM_IRQFD_FLAG_RESAMPLE). The host's, and open until acrn_blk_free() has returned. */
  int intx_fd;
  int resample_fd;
};
/* Once for each handle. Errors: -EINVAL (a bad option or structure), -ENOENT (the disk cannot be opened or served),
 * -ENOTSUP (the host lacks what an option asks for), -ENOMEM, -EAGAIN (the system is out of memory, threads or
 * descriptors for it).  [control] */
ACRN_BLK_API int acrn_blk_create_function(acrn_blk* blk, const struct acrn_blk_disk* disk,
                                          const struct acrn_blk_function_callbacks* callbacks);

/* What a register block asks for. Any thread. */
struct acrn_blk_register_callbacks {
  size_t struct_size;
  void* context;
  int (*msix_enabled)(void* context); /* whether the driver has MSI-X on; cheap: asked for each access and interrupt */
  void (*send_vector)(void* context, unsigned vector); /* while it is on; vector < acrn_blk_vectors() */
  /* Whether the ISR asks for an interrupt, one call at a time: the level of INTA#, while neither MSI nor MSI-X is on
   * and the driver has not disabled it, which the host looks at. */
  void (*set_isr)(void* context, int level);
  /* While it is off: a bit of the ISR was set, perhaps not the first: a message, if the driver has MSI on. NULL: the
   * host has no MSI. */
  void (*send_msi)(void* context);
};
ACRN_BLK_API int acrn_blk_create_registers(acrn_blk* blk, const struct acrn_blk_disk* disk,
                                           const struct acrn_blk_register_callbacks* callbacks);

/* Configuration space of a function: 1, 2 or 4 bytes. Of a register block: all ones.  [access] */
ACRN_BLK_API uint32_t acrn_blk_config_read(acrn_blk* blk, unsigned offset, unsigned size);
ACRN_BLK_API void acrn_blk_config_write(acrn_blk* blk, unsigned offset, unsigned size, uint32_t value);

/* BARs: 0 has the registers (I/O), 1 the MSI-X table of a function (memory). Accesses of 1, 2, 4 or 8 bytes; a write
 * that resets the device waits for requests in flight.  [access] */
ACRN_BLK_API uint64_t acrn_blk_bar_read(acrn_blk* blk, unsigned bar, uint64_t offset, unsigned size);
ACRN_BLK_API void acrn_blk_bar_write(acrn_blk* blk, unsigned bar, uint64_t offset, unsigned size, uint64_t value);
/* Bytes; 0: there is no such BAR.  [access] */
ACRN_BLK_API uint32_t acrn_blk_bar_size(acrn_blk* blk, unsigned bar);
/* Where a function's BAR answers, which each write to configuration space and a reset may change; UINT64_MAX: it does
 * not, or the host places it.  [access] */
ACRN_BLK_API uint64_t acrn_blk_bar_address(acrn_blk* blk, unsigned bar);
/* MSI-X vectors: one for each queue and one for changes of the configuration.  [access] */
ACRN_BLK_API unsigned acrn_blk_vectors(acrn_blk* blk);

/* A register write that can be an ioeventfd: a signal of `fd` is a write of `data`. The host places it where the BAR
 * is, and moves it with that. */
struct acrn_blk_doorbell {
  size_t struct_size;
  unsigned bar;
  uint32_t offset; /* in the BAR */
  unsigned size;   /* bytes of the write */
  uint32_t data;
  int fd; /* the library's; -1: the write is to be an access */
};
/* One for each queue, from 0. -ENOENT: there is none of that number; without a text.  [access] */
ACRN_BLK_API int acrn_blk_get_doorbell(acrn_blk* blk, unsigned number, struct acrn_blk_doorbell* doorbell);

/* As RST# or a reset of the machine: returns when nothing is in flight. It ends a quiesce.  [control] */
ACRN_BLK_API int acrn_blk_reset(acrn_blk* blk);
/* Returns when nothing is in flight, and takes nothing new until acrn_blk_resume(). The virtual CPUs are paused from
 * before the one to after the other.  [control] */
ACRN_BLK_API int acrn_blk_quiesce(acrn_blk* blk);
ACRN_BLK_API int acrn_blk_resume(acrn_blk* blk);
/* Returns when every write that has completed is on stable storage. -EIO if it cannot be. At the end of a machine:
 * acrn_blk_quiesce() first, so that nothing completes after it.  [control] */
ACRN_BLK_API int acrn_blk_flush(acrn_blk* blk);
/* Gives a disk that was created with "nodisk" its disk: "<path>[,option...]". Errors as of acrn_blk_create_*().
 * [control] */
ACRN_BLK_API int acrn_blk_rescan(acrn_blk* blk, const char* options);
/* Follows the size of the file, and tells the guest; `bytes` may be NULL. -EINVAL: there is no disk, or its size cannot
 * change.  [control] */
ACRN_BLK_API int acrn_blk_resize(acrn_blk* blk, uint64_t* bytes);
/* Counts since the handle was made, as JSON: what `stats` of acrn-dm's control socket says of one function. To be
 * released by acrn_blk_free_text().  [control] */
ACRN_BLK_API int acrn_blk_stats(acrn_blk* blk, char** json);
ACRN_BLK_API void acrn_blk_free_text(char* text);

#ifdef __cplusplus
}
#endif

#endif
