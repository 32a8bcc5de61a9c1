/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_CLEASES_THREADS_H
#define PEERMR_CLEASES_THREADS_H

#include <stdint.h>

#include "leases.h"

/* What one thread has; those of threads that have ended go to later ones. Never freed. */
struct thread {
    uintptr_t uses[PEERMR_PLACES]; /* written by the thread, read by others */
    uint32_t unused;               /* tickets that the thread can take: number + 1; 0 at the end */
    uint32_t counter;              /* see peermr_counter; 1 and up */
    uint64_t number;
    uint32_t returned __attribute__((aligned(64))); /* those that other threads gave back, taken over all at once */
    struct thread *next;           /* of all, and of those whose threads have ended */
    struct thread *next_idle;
};

/* The calling thread's; NULL without memory. */
struct thread *peermr_thread(void);

#endif
