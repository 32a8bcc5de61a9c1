/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dma-buf, udmabuf and dma-heap: request codes that are macros with sizeof in them, and calls behind _GNU_SOURCE.
 * Each returns 0 or a descriptor, or -1 with errno.
 */
#ifndef PEERMR_DMABUF_SHIM_H
#define PEERMR_DMABUF_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* Whether a descriptor is a dma-buf, by the file system that it lives on: 1 or 0. */
int peermr_is_dmabuf(int fd);

/* fstat(2): what tells one dma-buf from another. */
int peermr_file_identity(int fd, uint64_t *device, uint64_t *inode);

/* A second descriptor of the same file, close-on-exec. */
int peermr_duplicate(int fd);

/* 1 where the descriptor may write, 0 where it may only read. */
int peermr_is_writable(int fd);

/* Brackets the CPU's access, so that it sees what devices wrote and they see what it wrote. */
int peermr_dmabuf_sync(int fd, int writing, int ending);

/*
 * Copies with the kernel doing the loads and stores: EFAULT, and no SIGBUS, where one side is no longer there.
 */
int peermr_copy_by_kernel(void *to, const void *from, size_t bytes);

/* Shared memory of this size, in whole pages, that cannot shrink: what udmabuf takes. */
int peermr_sealed_memory(const char *name, uint64_t bytes);

/* UDMABUF_CREATE: the descriptor of a dma-buf over pages of a memfd. */
int peermr_udmabuf_create(int device, int memory, uint64_t offset, uint64_t bytes);

/* DMA_HEAP_IOCTL_ALLOC: the descriptor of a dma-buf from the heap, open for reading and writing. */
int peermr_heap_allocate(int heap, uint64_t bytes);

#endif
