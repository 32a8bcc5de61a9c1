/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is different in Linux 6.12, the older of the kernels that this is built for. Its stable
 * updates have the revocable imports of dma-bufs.
 */
#ifndef LABHCA_COMPAT_H
#define LABHCA_COMPAT_H

#include <linux/version.h>

/* 6.13: the name of a namespace became a string. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define LABHCA_IMPORT_NS(name)	MODULE_IMPORT_NS(name)
#else
#define LABHCA_IMPORT_NS(name)	MODULE_IMPORT_NS(#name)
#endif

/* 6.16: drivers map the pages of on-demand regions themselves, and pci_p2pdma is asked. */
#define LABHCA_ODP_UNCHECKED	(LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0))

/* 6.17: registrations have a parameter for hints to the processor's caches. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
struct ib_dmah;
#define LABHCA_DMAH_PARAMETER
#define LABHCA_DMAH		NULL
#define ib_umem_get_va		ib_umem_get
#else
#define LABHCA_DMAH_PARAMETER	struct ib_dmah *dmah,
#define LABHCA_DMAH		dmah
#endif

#endif
