/* SPDX-License-Identifier: Apache-2.0 */
/* A part of peermr.h, which programs include, and which has the rules for all: memory that is named by a text. */
#ifndef PEERMR_MEMORY_H
#define PEERMR_MEMORY_H

#include "../peermr.h"
#include "region.h"

#ifdef __cplusplus
extern "C" {
#endif

struct peermr_memory; /* memory that was opened or allocated by its specification */

/*
 * Opens or allocates memory that is named as for the peermr tool:
 *
 *     host:SIZE                          memory of the host
 *     p2pmem:BDF:SIZE                    the peer-to-peer memory of a PCI function, wiped
 *     vfio:BDF:BAR[:OFFSET:SIZE]         a BAR of a function that is bound to vfio-pci
 *     udmabuf:SIZE                       host memory, as a dma-buf of /dev/udmabuf
 *     heap:NAME:SIZE                     host memory, as a dma-buf of /dev/dma_heap/NAME
 *     drm:CARD:SIZE                      memory of the driver of /dev/dri/CARD (card0, renderD128)
 *     cuda:ORDINAL:SIZE                  memory of an NVIDIA GPU
 *     fd:N[:OFFSET:SIZE]                 the dma-buf of an open descriptor, which stays the caller's
 *
 * Sizes and offsets are bytes, or have a suffix K, M, G or T (powers of 1024). The tool's nic:SIZE, memory of an RDMA
 * device, is PEERMR_NOT_SUPPORTED: it is allocated from a device, by ibv_alloc_dm(), and no other device's memory is in
 * it. Nothing is bound to vfio-pci, and no driver loaded.
 *
 * out: to be closed by peermr_memory_close(); the memory is released then.
 * Fails with PEERMR_INVALID_ARGUMENT (a text that is none, with how it is to be written; a range that is not inside),
 * PEERMR_NOT_FOUND (no such function, device file or BAR), PEERMR_NOT_SUPPORTED (ENOTTY, EOPNOTSUPP: the kernel or the
 * driver does not export this), PEERMR_NOT_PERMITTED (EACCES, EPERM), PEERMR_RESOURCE_LIMIT (ENOMEM, EMFILE),
 * PEERMR_BUSY (EBUSY; the function has another driver than vfio-pci, or none), PEERMR_PEER_LOST (ENODEV).
 */
peermr_status peermr_memory_open(const char *specification, struct peermr_memory **out);

/* What is known of memory. */
struct peermr_memory_info {
    size_t struct_size;
    enum peermr_kind kind;
    enum peermr_owner owner;       /* whose it is, as far as the memory itself tells: a display driver's or a heap's
                                      dma-buf may be the host's */
    uint64_t length;               /* in bytes */
    void *address;                 /* where the CPU finds it, of host memory and p2pmem; NULL for a dma-buf */
    int has_dmabuf;                /* 1 where peermr_memory_dmabuf() gives a descriptor */
    uint32_t reserved;             /* 0 */
    const char *provider_bdf;      /* the PCI function whose memory it is; empty for the host's, or not known */
    const char *exporter;          /* the driver that exports the dma-buf, as the kernel names it; else empty */
    const char *specification;     /* the text in its full form, sizes in bytes */
};
#define PEERMR_MEMORY_INFO_INIT \
    {sizeof(struct peermr_memory_info), (enum peermr_kind)0, PEERMR_OWNER_UNKNOWN, 0, NULL, 0, 0, NULL, NULL, NULL}

/* Describes memory. Its texts are valid until the memory is closed. */
peermr_status peermr_memory_info(const struct peermr_memory *memory, struct peermr_memory_info *out);

/*
 * Gives a descriptor of the memory's dma-buf, to hand to other libraries: a duplicate with FD_CLOEXEC, which is the
 * caller's to close. It keeps the buffer, but not what its exporter does with it: memory of vfio-pci is revoked when
 * the library's memory is closed.
 *
 * fd: the descriptor; -1 where this fails. offset: where the memory begins in the dma-buf, in bytes; NULL where that
 * is not wanted. Fails with PEERMR_NOT_SUPPORTED (memory without a dma-buf: host memory and p2pmem),
 * PEERMR_RESOURCE_LIMIT (EMFILE).
 */
peermr_status peermr_memory_dmabuf(const struct peermr_memory *memory, int *fd, uint64_t *offset);

/*
 * Copies bytes out of the memory, or into it, by the owner's means and not through a NIC: for what is to be compared,
 * not for speed.
 *
 * offset: from the beginning of the memory, in bytes. Fails with PEERMR_NOT_SUPPORTED where the owner gives the CPU no
 * access, PEERMR_PEER_LOST where the memory was revoked, PEERMR_INVALID_ARGUMENT for a range that is not inside.
 */
peermr_status peermr_memory_read(const struct peermr_memory *memory, uint64_t offset, void *bytes, uint64_t length);
peermr_status peermr_memory_write(struct peermr_memory *memory, uint64_t offset, const void *bytes, uint64_t length);

/*
 * Registers memory, or a range of it, with the method that works.
 *
 * pd: the application's; keep it open until the region is gone. memory: stays the caller's, and cannot be closed before
 * the region is gone. offset, length: the range, in bytes; a length of 0 is all from the offset on. options: NULL for
 * the defaults; provider_bdf says whose memory a dma-buf is that does not tell itself. out: the region, to be ended by
 * peermr_deregister(); peermr_region_detach() is not for it. Fails as peermr_register_dmabuf() and
 * peermr_register_p2pmem() do.
 */
peermr_status peermr_register_memory(struct ibv_pd *pd, struct peermr_memory *memory, uint64_t offset, uint64_t length,
                                     const struct peermr_options *options, struct peermr_region **out);

/*
 * Closes memory, and releases it. PEERMR_BUSY, and nothing changes, while a region over it lives or another thread's
 * call uses it; PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_memory_close(struct peermr_memory *memory);

#ifdef __cplusplus
}
#endif

#endif
