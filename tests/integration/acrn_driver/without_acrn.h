/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* In place of the kernel's: the driver runs where there is no ACRN, and its hypercalls come to acrn_hypercalls.c. */
#ifndef _ASM_X86_ACRN_H
#define _ASM_X86_ACRN_H

#include <asm/hypervisor.h>
#include <asm/processor.h>

#define ACRN_CPUID_FEATURES 0x40000001
#define ACRN_FEATURE_PRIVILEGED_VM BIT(0)
#define x86_hyper_type X86_HYPER_ACRN
#define cpuid_eax(leaf) ACRN_FEATURE_PRIVILEGED_VM

void acrn_setup_intr_handler(void (*handler)(void));
void acrn_remove_intr_handler(void);
long acrn_hypercall1(unsigned long id, unsigned long first);
long acrn_hypercall2(unsigned long id, unsigned long first, unsigned long second);

#endif
