/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_URING_RING_H
#define PEERMR_URING_RING_H

#include <liburing.h>

/* What the opaque type of uring_shim.h is. */
struct peermr_uring {
    struct io_uring ring;
};

/* 0 and a ring set up with these flags, or a negative errno. */
int peermr_uring_open_with(unsigned entries, unsigned flags, struct peermr_uring **ring);

#endif
