/* SPDX-License-Identifier: Apache-2.0 */
#include "uring_shim.h"
#include "uring_ring.h"

#include <errno.h>
#include <stdlib.h>

int peermr_uring_open(unsigned entries, struct peermr_uring **ring)
{
    return peermr_uring_open_with(entries, 0, ring);
}

int peermr_uring_open_with(unsigned entries, unsigned flags, struct peermr_uring **ring)
{
    struct peermr_uring *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    int result = io_uring_queue_init(entries, &made->ring, flags);
    if (result < 0) {
        free(made);
        return result;
    }
    *ring = made;
    return 0;
}

void peermr_uring_close(struct peermr_uring *ring)
{
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

int peermr_uring_descriptor(const struct peermr_uring *ring)
{
    return ring->ring.ring_fd;
}

int peermr_uring_write(struct peermr_uring *ring, int fd, uintptr_t address, uint32_t bytes,
                       uint64_t offset, uint64_t tag)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry)
        return -EBUSY;
    io_uring_prep_write(entry, fd, (const void *)address, bytes, offset);
    entry->user_data = tag;
    return 0;
}

int peermr_uring_read(struct peermr_uring *ring, int fd, uintptr_t address, uint32_t bytes,
                      uint64_t offset, uint64_t tag)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry)
        return -EBUSY;
    io_uring_prep_read(entry, fd, (void *)address, bytes, offset);
    entry->user_data = tag;
    return 0;
}

int peermr_uring_flush(struct peermr_uring *ring, int fd, uint64_t tag)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry)
        return -EBUSY;
    io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
    entry->user_data = tag;
    return 0;
}

int peermr_uring_submit(struct peermr_uring *ring)
{
    return io_uring_submit(&ring->ring);
}

int peermr_uring_next(struct peermr_uring *ring, uint64_t *tag, int32_t *result)
{
    struct io_uring_cqe *entry;
    if (io_uring_peek_cqe(&ring->ring, &entry) != 0)
        return 0;
    *tag = entry->user_data;
    *result = entry->res;
    io_uring_cqe_seen(&ring->ring, entry);
    return 1;
}
