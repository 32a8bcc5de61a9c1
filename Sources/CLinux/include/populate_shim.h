/* SPDX-License-Identifier: Apache-2.0 */
/* Making the pages of a mapping be there before anyone needs them: madvise(2), MADV_POPULATE_WRITE (Linux 5.14). */
#ifndef PEERMR_POPULATE_SHIM_H
#define PEERMR_POPULATE_SHIM_H

#include <stddef.h>

/* Whether the running kernel has the advice. */
int peermr_has_populate(void);

/* Asks for huge pages in a mapping, where it has room for some; that a kernel without them refuses does not matter. */
void peermr_ask_for_huge_pages(void *start, size_t bytes);

/*
 * Makes whole pages be there: for writing, or for reading where the mapping cannot be written to. 0, or -1 with errno:
 * EINVAL for a mapping whose pages are not the kernel's to make, EFAULT where there is nothing behind a page, ENOMEM
 * where nothing is mapped, or there is no memory.
 */
int peermr_populate(void *start, size_t bytes);

/* The same by a write to each page that changes nothing, also where other threads write. Only for memory that
 * can be written to. */
void peermr_touch(void *start, size_t bytes, size_t page_bytes);

#endif
