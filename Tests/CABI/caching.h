/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_C_ABI_CACHING_H
#define PEERMR_C_ABI_CACHING_H

#include <pthread.h>

#include "harness.h"

/* A cache, and a request of the machine's two pages. */
struct cached {
    struct machine machine;
    struct peermr_cache *cache;
    struct peermr_arena *arena;
    struct peermr_request *request;
    struct peermr_reader *reader;
    struct peermr_address_request *addresses;
    struct peermr_lease lease;
};

struct cached cached_open(const struct peermr_options *options);
void cached_close(struct cached *cached);
/* How many descriptors of this process are of a file. */
int descriptors(int of);
struct peermr_cache_statistics statistics(struct peermr_cache *cache);

#endif
