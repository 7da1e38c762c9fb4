/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* One hypercall of Linux's ACRN driver, as /dev/acrn_hypercalls hands it over and takes its answer. */
#ifndef ACRN_HYPERCALLS_H
#define ACRN_HYPERCALLS_H

#include <linux/types.h>

struct hypercall {
  __u64 number; /* 0: nobody waits for an answer; written: the interrupt */
  __u64 id;     /* HC_*, as drivers/virt/acrn/hypercall.h has them */
  __u64 arguments[2];
  __s64 result;
  __u32 process; /* of the caller */
  __u32 size;    /* of the data, bytes */
  __u8 data[400];
};

#endif
