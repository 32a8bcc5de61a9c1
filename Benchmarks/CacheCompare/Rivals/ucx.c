/* SPDX-License-Identifier: Apache-2.0 */
/* The registration cache of libucs (package libucx-dev), by its installed headers. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucp/api/ucp_version.h>
#include <ucs/memory/rcache.h>
#include <unistd.h>

#include "cache_rivals.h"

static _Atomic unsigned delay;

void rivals_set_delay(unsigned microseconds)
{
    atomic_store(&delay, microseconds);
}

void rivals_delay(void)
{
    unsigned microseconds = atomic_load(&delay);
    if (microseconds)
        usleep(microseconds);
}

struct rivals_ucx {
    ucs_rcache_t *cache;
    uint8_t *base;
    size_t stride, bytes;
};

struct region {
    ucs_rcache_region_t super;
    uint32_t key;
};

static ucs_status_t register_region(void *context, ucs_rcache_t *cache, void *argument, ucs_rcache_region_t *region,
                                    uint16_t flags)
{
    static _Atomic uint32_t keys;
    (void)context, (void)cache, (void)argument, (void)flags;
    rivals_delay();
    ((struct region *)region)->key = atomic_fetch_add(&keys, 1) + 1;
    return UCS_OK;
}

static void deregister_region(void *context, ucs_rcache_t *cache, ucs_rcache_region_t *region)
{
    (void)context, (void)cache, (void)region;
}

static void describe_region(void *context, ucs_rcache_t *cache, ucs_rcache_region_t *region, char *text, size_t bytes)
{
    (void)context, (void)cache, (void)region;
    if (bytes)
        text[0] = '\0';
}

const char *rivals_ucx_version(void)
{
    return RIVALS_TEXT(UCP_API_MAJOR) "." RIVALS_TEXT(UCP_API_MINOR);
}

struct rivals_ucx *rivals_ucx_open(void *base, size_t stride, size_t bytes, size_t regions)
{
    static const ucs_rcache_ops_t operations = {register_region, deregister_region, describe_region};
    ucs_rcache_params_t parameters = {
        .region_struct_size = sizeof(struct region),
        .alignment = UCS_RCACHE_MIN_ALIGNMENT,
        .max_alignment = 4096,
        .ops = &operations,
        .flags = UCS_RCACHE_FLAG_NO_PFN_CHECK,
        .max_regions = regions * 2,
        .max_size = SIZE_MAX,
        .max_unreleased = SIZE_MAX,
    };
    struct rivals_ucx *made = calloc(1, sizeof(*made));
    if (!made)
        return NULL;
    *made = (struct rivals_ucx){NULL, base, stride, bytes};
    if (ucs_rcache_create(&parameters, "compared", NULL, &made->cache) != UCS_OK) {
        free(made);
        return NULL;
    }
    return made;
}

void rivals_ucx_close(struct rivals_ucx *cache)
{
    ucs_rcache_destroy(cache->cache);
    free(cache);
}

static ucs_status_t get(struct rivals_ucx *cache, uint32_t number, ucs_rcache_region_t **region)
{
    void *address = cache->base + number * cache->stride;
#if UCP_API_VERSION >= UCP_VERSION(1, 15)
    return ucs_rcache_get(cache->cache, address, cache->bytes, UCS_RCACHE_MIN_ALIGNMENT, PROT_READ | PROT_WRITE, NULL,
                          region);
#else
    return ucs_rcache_get(cache->cache, address, cache->bytes, PROT_READ | PROT_WRITE, NULL, region);
#endif
}

uint64_t rivals_ucx_run(struct rivals_ucx *cache, const uint32_t *order, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        ucs_rcache_region_t *region;
        if (get(cache, order[i], &region) != UCS_OK)
            return 0;
        sum += ((struct region *)region)->key;
        ucs_rcache_region_put(cache->cache, region);
    }
    return sum;
}
