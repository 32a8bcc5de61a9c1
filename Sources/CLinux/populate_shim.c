/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "populate_shim.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

/* From include/uapi/asm-generic/mman-common.h, for older headers. */
#define POPULATE_READ 22
#define POPULATE_WRITE 23
#define HUGE_BYTES ((uintptr_t)2 << 20)

/* An advice about nothing is refused only where it is not known (mm/madvise.c, madvise_behavior_valid). */
int peermr_has_populate(void)
{
    return madvise(NULL, 0, POPULATE_WRITE) == 0;
}

void peermr_ask_for_huge_pages(void *start, size_t bytes)
{
    uintptr_t first = ((uintptr_t)start + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    uintptr_t end = ((uintptr_t)start + bytes) & ~(HUGE_BYTES - 1);
    int before = errno;

    if (first < end)
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
    errno = before;
}

int peermr_populate(void *start, size_t bytes)
{
    if (madvise(start, bytes, POPULATE_WRITE) == 0)
        return 0;
    return errno == EINVAL ? madvise(start, bytes, POPULATE_READ) : -1;
}

void peermr_touch(void *start, size_t bytes, size_t page_bytes)
{
    for (size_t offset = 0; offset < bytes; offset += page_bytes) {
        volatile uint8_t *byte = (volatile uint8_t *)start + offset;
        uint8_t seen = *byte;

        /* Where it fails someone else has just written. */
        __atomic_compare_exchange_n(byte, &seen, seen, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}
