/* SPDX-License-Identifier: Apache-2.0 */
#include "caching.h"

#include <stdlib.h>
#include <unistd.h>

struct cached cached_open(const struct peermr_options *options)
{
    struct cached cached = {.machine = machine_open()};
    WORKS(peermr_cache_create(NULL, &cached.cache));
    WORKS(peermr_arena_create(cached.machine.bytes, 8192, &cached.arena));
    WORKS(peermr_request_arena(cached.cache, cached.machine.pd, cached.arena, options, &cached.request));
    return cached;
}

void cached_close(struct cached *cached)
{
    if (cached->request)
        WORKS(peermr_request_free(cached->request));
    WORKS(peermr_cache_free(cached->cache));
    WORKS(peermr_arena_free(cached->arena));
    machine_close(&cached->machine);
}

struct peermr_cache_statistics statistics(struct peermr_cache *cache)
{
    struct peermr_cache_statistics found = PEERMR_CACHE_STATISTICS_INIT;
    WORKS(peermr_cache_statistics(cache, &found));
    return found;
}

void cache_leases(void)
{
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
    struct cached cached = cached_open(&options);
    struct peermr_lease first = PEERMR_LEASE_INIT, second = PEERMR_LEASE_INIT, part = PEERMR_LEASE_INIT;
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &first));
    CHECK(fake_verbs_registered_address() == (uintptr_t)cached.machine.bytes && fake_verbs_registered_bytes() == 8192);
    CHECK(fake_verbs_registered_access() == (uint32_t)options.access);
    CHECK(first.io_address == (uintptr_t)cached.machine.bytes && first.length == 8192 && first.ticket != 0);
    CHECK(first.alignment == 1 && first.path_mtu == 0 && first.rkey != 0);
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &second));
    CHECK(second.lkey == first.lkey && second.rkey == first.rkey && second.ticket != first.ticket);
    WORKS(peermr_cache_lease(cached.request, 100, 200, &part));
    CHECK(part.lkey == first.lkey && part.io_address == first.io_address + 100 && part.length == 200);
    CHECK(fake_verbs_live(FAKE_REGION) == 1);
    struct peermr_cache_statistics seen = statistics(cached.cache);
    CHECK(seen.hits == 2 && seen.misses == 1 && seen.regions == 1 && seen.bytes_leased == 8192 && !seen.bytes_idle);
    CHECK(seen.saved_nanoseconds == 2 * seen.registration_nanoseconds);
    WORKS(peermr_lease_release(&part));
    /* A completion had an error: the region is dead, and goes with the last lease. */
    WORKS(peermr_lease_invalidate(&first));
    WORKS(peermr_lease_release(&first));
    CHECK(first.ticket == 0 && fake_verbs_live(FAKE_REGION) == 1);
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &part));
    CHECK(part.lkey != second.lkey && fake_verbs_live(FAKE_REGION) == 2);
    WORKS(peermr_lease_release(&second));
    CHECK(fake_verbs_live(FAKE_REGION) == 1);
    WORKS(peermr_lease_release(&part));
    seen = statistics(cached.cache);
    CHECK(seen.invalidations_loss == 1 && seen.ended_regions == 0 && seen.bytes_idle == 8192 && !seen.bytes_leased);
    cached_close(&cached);
}

void cache_limits(void)
{
    struct machine machine = machine_open();
    struct peermr_cache_limits limits[] = {PEERMR_CACHE_LIMITS_INIT, PEERMR_CACHE_LIMITS_INIT, PEERMR_CACHE_LIMITS_INIT,
                                           PEERMR_CACHE_LIMITS_INIT};
    struct peermr_cache *cache = NULL;
    limits[0].regions = 0;
    limits[1].bytes = 0;
    limits[2].regions = (1 << 24) + 1;
    limits[3].regions = UINT64_MAX;
    for (unsigned i = 0; i < 4; i++)
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_create(&limits[i], &cache));
    CHECK(cache == NULL);
    struct peermr_cache_limits two = PEERMR_CACHE_LIMITS_INIT;
    two.regions = 2;
    WORKS(peermr_cache_create(&two, &cache));
    struct peermr_arena *arena = NULL;
    struct peermr_request *request = NULL;
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    WORKS(peermr_arena_create(machine.bytes, 8192, &arena));
    WORKS(peermr_request_arena(cache, machine.pd, arena, NULL, &request));
    for (uint64_t offset = 0; offset < 8; offset++) {
        WORKS(peermr_cache_lease(request, offset * 1024, 1024, &lease));
        WORKS(peermr_lease_release(&lease));
    }
    CHECK(fake_verbs_live(FAKE_REGION) == 2 && statistics(cache).evictions_count == 6);
    fake_verbs_fail_times("ibv_reg_mr", ENOMEM, 1);
    WORKS(peermr_cache_lease(request, 0, 8192, &lease));
    CHECK(statistics(cache).evictions_memory == 2);
    WORKS(peermr_lease_release(&lease));
    WORKS(peermr_request_free(request));
    /* All of the memory is registered for a part of it, but never for peers. */
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.flags = PEERMR_OPTION_WIDEN;
    for (int remote = 0; remote < 2; remote++) {
        options.access = IBV_ACCESS_LOCAL_WRITE | (remote ? IBV_ACCESS_REMOTE_WRITE : 0);
        WORKS(peermr_cache_invalidate_all(cache, NULL));
        WORKS(peermr_request_arena(cache, machine.pd, arena, &options, &request));
        WORKS(peermr_cache_lease(request, 4096, 4096, &lease));
        CHECK(fake_verbs_registered_bytes() == (remote ? 4096 : 8192) && lease.length == 4096);
        WORKS(peermr_lease_release(&lease));
        WORKS(peermr_request_free(request));
    }
    WORKS(peermr_cache_free(cache));
    WORKS(peermr_arena_free(arena));
    machine_close(&machine);
}

void cache_invalidation(void)
{
    struct cached cached = cached_open(NULL);
    int fd = buffer_open(65536);
    struct peermr_request *buffer = NULL;
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    uint64_t ended = 99;
    WORKS(peermr_request_dmabuf(cached.cache, cached.machine.pd, fd, 4096, 8192, NULL, &buffer));
    WORKS(peermr_cache_lease(buffer, 0, 4096, &lease));
    CHECK(lease.io_address == 4096 && fake_verbs_last_buffer().offset == 4096);
    WORKS(peermr_lease_release(&lease));
    WORKS(peermr_cache_lease(buffer, 4096, 4096, &lease));
    WORKS(peermr_lease_release(&lease));
    for (uint64_t offset = 0; offset < 8192; offset += 1024) {
        WORKS(peermr_cache_lease(cached.request, offset, 1024, &lease));
        WORKS(peermr_lease_release(&lease));
    }
    WORKS(peermr_cache_invalidate_dmabuf(cached.cache, fd, 8191, 1, &ended));
    CHECK(ended == 1);
    WORKS(peermr_cache_invalidate_dmabuf(cached.cache, fd, 0, UINT64_MAX, &ended));
    CHECK(ended == 1);
    WORKS(peermr_cache_invalidate_arena(cached.cache, cached.arena, 1023, 2, &ended));
    CHECK(ended == 2);
    WORKS(peermr_cache_invalidate_arena(cached.cache, cached.arena, 8000, UINT64_MAX, &ended));
    CHECK(ended == 1);
    WORKS(peermr_cache_invalidate_arena(cached.cache, cached.arena, UINT64_MAX, UINT64_MAX, &ended));
    CHECK(ended == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_arena(cached.cache, cached.arena, 0, 0, &ended));
    WORKS(peermr_cache_invalidate_provider(cached.cache, "ffff:ff:1f.7", &ended));
    CHECK(ended == 0);
    WORKS(peermr_cache_invalidate_all(cached.cache, &ended));
    CHECK(ended == 5 && fake_verbs_live(FAKE_REGION) == 0);
    struct peermr_cache_statistics seen = statistics(cached.cache);
    CHECK(seen.invalidations_range == 4 && seen.invalidations_buffer == 1 && seen.invalidations_all == 5);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_dmabuf(cached.cache, -1, 0, 1, &ended));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_provider(cached.cache, "nothing", &ended));
    WORKS(peermr_request_free(buffer));
    close(fd);
    cached_close(&cached);
}

void cache_domains(void)
{
    struct cached cached = cached_open(NULL);
    struct ibv_pd *pd = ibv_alloc_pd(cached.machine.context);
    struct peermr_request *request = NULL;
    struct peermr_lease lease = PEERMR_LEASE_INIT, other = PEERMR_LEASE_INIT;
    WORKS(peermr_request_arena(cached.cache, pd, cached.arena, NULL, &request));
    WORKS(peermr_cache_lease(request, 0, 8192, &lease));
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &other));
    CHECK(other.lkey != lease.lkey);
    FAILS(PEERMR_BUSY, peermr_cache_release_domain(cached.cache, pd));
    FAILS(PEERMR_BUSY, peermr_cache_release_domain(cached.cache, pd));
    WORKS(peermr_lease_release(&lease));
    WORKS(peermr_cache_release_domain(cached.cache, pd));
    CHECK(statistics(cached.cache).invalidations_domain == 1);
    /* Nothing keeps the domain, and what was requested of it leases nothing, also of one at the same address. */
    CHECK(ibv_dealloc_pd(pd) == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(request, 0, 8192, &lease));
    CHECK(says("released the protection domain") && lease.ticket == 0);
    struct ibv_pd *next = ibv_alloc_pd(cached.machine.context);
    struct peermr_request *again = NULL;
    WORKS(peermr_request_arena(cached.cache, next, cached.arena, NULL, &again));
    WORKS(peermr_cache_lease(again, 0, 8192, &lease));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(request, 0, 8192, &(struct peermr_lease)PEERMR_LEASE_INIT));
    WORKS(peermr_lease_release(&lease));
    WORKS(peermr_lease_release(&other));
    WORKS(peermr_request_free(again));
    WORKS(peermr_request_free(request));
    WORKS(peermr_cache_release_domain(cached.cache, next));
    CHECK(ibv_dealloc_pd(next) == 0);
    cached_close(&cached);
}

static void *of_another_thread(void *argument)
{
    struct cached *cached = argument;
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_find(cached->reader, cached->request, 0, 1, &lease));
    CHECK(says("another thread"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_advance(cached->reader));
    WORKS(peermr_lease_release(&cached->lease));
    return NULL;
}

void cache_readers(void)
{
    struct cached cached = cached_open(NULL), stranger = cached_open(NULL);
    struct peermr_lease found = PEERMR_LEASE_INIT;
    cached.lease = found;
    WORKS(peermr_reader_create(cached.cache, &cached.reader));
    FAILS(PEERMR_NOT_FOUND, peermr_reader_find(cached.reader, cached.request, 0, 4096, &found));
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &cached.lease));
    WORKS(peermr_reader_find(cached.reader, cached.request, 100, 50, &found));
    CHECK(found.lkey == cached.lease.lkey && found.io_address == cached.lease.io_address + 100 && found.length == 50);
    CHECK(found.ticket == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&found));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_find(cached.reader, cached.request, 8192, 1, &found));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_find(cached.reader, stranger.request, 0, 1, &found));
    CHECK(says("another cache"));
    /* A lease may be given back by any thread; a reader is its thread's. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, of_another_thread, &cached) == 0 && pthread_join(thread, NULL) == 0);
    uint64_t ended = 0;
    WORKS(peermr_cache_invalidate_all(cached.cache, &ended));
    CHECK(ended == 1 && fake_verbs_live(FAKE_REGION) == 1);
    FAILS(PEERMR_NOT_FOUND, peermr_reader_find(cached.reader, cached.request, 0, 1, &found));
    FAILS(PEERMR_BUSY, peermr_cache_free(cached.cache));
    WORKS(peermr_reader_advance(cached.reader));
    CHECK(fake_verbs_live(FAKE_REGION) == 0);
    WORKS(peermr_reader_free(cached.reader));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_advance(cached.reader));
    CHECK(statistics(cached.cache).hits == 1);
    cached_close(&stranger);
    cached_close(&cached);
}
