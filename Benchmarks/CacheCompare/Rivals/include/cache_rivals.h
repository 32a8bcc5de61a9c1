/* SPDX-License-Identifier: Apache-2.0 */
/* Other libraries' registration caches, with a registration that does nothing, or takes a while. */
#ifndef PEERMR_CACHE_RIVALS_H
#define PEERMR_CACHE_RIVALS_H

#include <stddef.h>
#include <stdint.h>

/* How long a registration takes from here on, in microseconds; 0 in the beginning. */
void rivals_set_delay(unsigned microseconds);

/* The version of UCX that it was built with. */
const char *rivals_ucx_version(void);

/* UCX's cache, with regions of `bytes` each, `stride` apart from `base` on; NULL where it cannot be made. */
struct rivals_ucx;
struct rivals_ucx *rivals_ucx_open(void *base, size_t stride, size_t bytes, size_t regions);
void rivals_ucx_close(struct rivals_ucx *cache);

/* Looks up and gives back each region of a list, in its order; the sum of what was found, or 0 where one was not. */
uint64_t rivals_ucx_run(struct rivals_ucx *cache, const uint32_t *order, size_t count);

/* The same of libfabric's cache. It is not closed: it lives as long as the program. NULL for versions whose cache is not
 * known. */
struct rivals_libfabric;
const char *rivals_libfabric_version(void);
struct rivals_libfabric *rivals_libfabric_open(void *base, size_t stride, size_t bytes, size_t regions);
uint64_t rivals_libfabric_run(struct rivals_libfabric *cache, const uint32_t *order, size_t count);

/* For the rivals: as long as a registration takes. */
void rivals_delay(void);
#define RIVALS_TEXT_OF(number) #number
#define RIVALS_TEXT(number) RIVALS_TEXT_OF(number)

#endif
