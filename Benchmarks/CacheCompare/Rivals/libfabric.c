/* SPDX-License-Identifier: Apache-2.0 */
/* The registration cache inside libfabric, which no header of the package declares: its archive has the functions, and
 * what they take is laid out here as version 1.17 has it. Other versions are left out. Of the archive only the members
 * of the cache are linked (Benchmarks/cache-compare), without the providers; what those want of the rest is in
 * libfabric_rest.c. */
#include <pthread.h>
#include <rdma/fabric.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cache_rivals.h"

enum { memory_kinds = 6 };

struct list {
    struct list *next, *previous;
};

/* What tells the cache of unmapped memory: here nothing does, which costs a lookup least. */
struct monitor {
    struct list caches;
    int kind, state;
    void (*init)(struct monitor *);
    void (*cleanup)(struct monitor *);
    int (*start)(struct monitor *);
    void (*stop)(struct monitor *);
    int (*subscribe)(struct monitor *, const void *, size_t, void *);
    void (*unsubscribe)(struct monitor *, const void *, size_t, void *);
    bool (*valid)(struct monitor *, const void *, void *);
};

struct tree {
    void *root, *left, *right, *parent;
    long color;
    void *data, *unused;
    int (*compare)(struct tree *, void *, void *);
};

struct cache {
    void *domain;
    struct monitor *monitors[memory_kinds];
    struct list entries[memory_kinds];
    size_t entry_data_bytes;
    struct tree tree;
    struct list idle, dead;
    pthread_mutex_t lock;
    size_t counts[8];
    void *pool;
    int (*register_region)(struct cache *, void *);
    void (*deregister_region)(struct cache *, void *);
};

/* A lookup, and the beginning of an entry: the range first, then the kind of memory, 0 for the system's. */
struct lookup {
    struct iovec range;
    char other[240];
};

extern struct {
    size_t most_entries, most_bytes;
} cache_params;
void ofi_mem_init(void);
int ofi_mr_cache_init(void *domain, struct monitor **monitors, struct cache *cache);
int ofi_mr_cache_search(struct cache *cache, const struct lookup *lookup, struct iovec **entry);
void ofi_mr_cache_delete(struct cache *cache, struct iovec *entry);

struct rivals_libfabric {
    struct cache cache;
    struct monitor monitor;
    /* The cache counts itself somewhere in its domain. */
    char domain[4096];
    uint8_t *base;
    size_t stride, bytes;
};

static int succeed(struct monitor *monitor)
{
    (void)monitor;
    return 0;
}

static void ignore(struct monitor *monitor)
{
    (void)monitor;
}

static int subscribe(struct monitor *monitor, const void *address, size_t bytes, void *more)
{
    (void)monitor, (void)address, (void)bytes, (void)more;
    return 0;
}

static void unsubscribe(struct monitor *monitor, const void *address, size_t bytes, void *more)
{
    (void)monitor, (void)address, (void)bytes, (void)more;
}

static bool is_valid(struct monitor *monitor, const void *lookup, void *entry)
{
    (void)monitor, (void)lookup, (void)entry;
    return true;
}

static int register_region(struct cache *cache, void *entry)
{
    (void)cache, (void)entry;
    rivals_delay();
    return 0;
}

static void deregister_region(struct cache *cache, void *entry)
{
    (void)cache, (void)entry;
}

struct rivals_libfabric *rivals_libfabric_open(void *base, size_t stride, size_t bytes, size_t regions)
{
    if (FI_MAJOR_VERSION != 1 || FI_MINOR_VERSION != 17)
        return NULL;
    struct rivals_libfabric *made = calloc(1, sizeof(*made));
    if (!made)
        return NULL;
    made->base = base, made->stride = stride, made->bytes = bytes;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ofi_mem_init);
    /* All caches have the same limits. */
    cache_params.most_entries = regions * 2;
    cache_params.most_bytes = SIZE_MAX;
    made->monitor = (struct monitor){.state = 1, .init = ignore, .cleanup = ignore, .start = succeed, .stop = ignore,
                                     .subscribe = subscribe, .unsubscribe = unsubscribe, .valid = is_valid};
    made->monitor.caches = (struct list){&made->monitor.caches, &made->monitor.caches};
    made->cache.register_region = register_region;
    made->cache.deregister_region = deregister_region;
    struct monitor *monitors[memory_kinds] = {&made->monitor};
    if (ofi_mr_cache_init(made->domain, monitors, &made->cache)) {
        free(made);
        return NULL;
    }
    return made;
}

const char *rivals_libfabric_version(void)
{
    return RIVALS_TEXT(FI_MAJOR_VERSION) "." RIVALS_TEXT(FI_MINOR_VERSION);
}

uint64_t rivals_libfabric_run(struct rivals_libfabric *cache, const uint32_t *order, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        struct lookup lookup = {.range = {cache->base + order[i] * cache->stride, cache->bytes}};
        struct iovec *entry;
        if (ofi_mr_cache_search(&cache->cache, &lookup, &entry) || entry->iov_base != lookup.range.iov_base)
            return 0;
        sum += entry->iov_len;
        ofi_mr_cache_delete(&cache->cache, entry);
    }
    return sum;
}
