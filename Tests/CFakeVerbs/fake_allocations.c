/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts what a thread allocates on the heap: the data path must allocate nothing. These definitions stand before
 * those of the C library in every call of the test program, and hand each call on to it (glibc, malloc/malloc.c).
 */
#include <stddef.h>
#include <stdint.h>

#include "fake_state.h"

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static _Thread_local uint64_t allocations;

uint64_t fake_verbs_allocations(void)
{
    return allocations;
}

#ifndef FAKE_WITHOUT_ALLOCATIONS

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    allocations++;
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    allocations++;
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **into, size_t alignment, size_t bytes)
{
    void *made = memalign(alignment, bytes);
    if (!made)
        return 12; /* ENOMEM */
    *into = made;
    return 0;
}

#endif
