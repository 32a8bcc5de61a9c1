/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe commands through io_uring, past the block layer: on the character device of a namespace, /dev/ngXnY.
 */
#ifndef PEERMR_COMMAND_SHIM_H
#define PEERMR_COMMAND_SHIM_H

#include <stdint.h>

struct peermr_uring;

/* 0 and a ring whose entries have room for a command, or a negative errno. The functions of uring_shim.h serve it. */
int peermr_uring_open_commands(unsigned entries, struct peermr_uring **ring);

/*
 * Prepare one command: 0, or -EBUSY when the submission queue is full. Its completion carries 0, a negative errno, or
 * the drive's status, which is above 0.
 */
int peermr_uring_nvme_write(struct peermr_uring *ring, int fd, uint32_t space, uintptr_t address, uint32_t bytes,
                            uint64_t first_block, uint32_t blocks, uint64_t tag);
int peermr_uring_nvme_read(struct peermr_uring *ring, int fd, uint32_t space, uintptr_t address, uint32_t bytes,
                           uint64_t first_block, uint32_t blocks, uint64_t tag);
int peermr_uring_nvme_flush(struct peermr_uring *ring, int fd, uint32_t space, uint64_t tag);

/* The Identify Namespace data structure, 4096 bytes: 0, a negative errno, or the drive's status. */
int peermr_nvme_identify(int fd, uint32_t space, void *into);

/* The number of the namespace, or -1 and errno. */
int peermr_nvme_namespace(int fd);

#endif
