/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liburing behind an opaque type. Swift cannot import <liburing.h> beside swift-system: both bring their own
 * definition of struct io_uring_sqe, and the compiler refuses two modules that disagree about one type.
 */
#ifndef PEERMR_URING_SHIM_H
#define PEERMR_URING_SHIM_H

#include <stdint.h>

#include "command_shim.h"

struct peermr_uring;

/* 0 and a ring, or a negative errno. */
int peermr_uring_open(unsigned entries, struct peermr_uring **ring);
void peermr_uring_close(struct peermr_uring *ring);
int peermr_uring_descriptor(const struct peermr_uring *ring);

/* Prepare one operation: 0, or -EBUSY when the submission queue is full. */
int peermr_uring_write(struct peermr_uring *ring, int fd, uintptr_t address, uint32_t bytes,
                       uint64_t offset, uint64_t tag);
int peermr_uring_read(struct peermr_uring *ring, int fd, uintptr_t address, uint32_t bytes,
                      uint64_t offset, uint64_t tag);
int peermr_uring_flush(struct peermr_uring *ring, int fd, uint64_t tag);

/* Operations started, or a negative errno. */
int peermr_uring_submit(struct peermr_uring *ring);

/* 1 and a completion, or 0 when there is none; never waits. */
int peermr_uring_next(struct peermr_uring *ring, uint64_t *tag, int32_t *result);

#endif
