/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that lease, look, invalidate and give back in one cache at once. */
#include "caching.h"

#define ROUNDS 500

static struct {
    void *fake;
    struct cached cached;
    struct peermr_lease shared;
    pthread_barrier_t barrier;
    int released;
} common;

static void *leasing(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    struct peermr_lease held[8];
    struct peermr_reader *reader = NULL;
    struct peermr_request *own = NULL;
    fake_verbs_join(common.fake);
    WORKS(peermr_reader_create(common.cached.cache, &reader));
    for (int round = 0; round < ROUNDS; round++) {
        /* A request that comes and goes, while others use theirs. */
        if (round % 8 == 0)
            WORKS(peermr_request_arena(common.cached.cache, common.cached.machine.pd, common.cached.arena, NULL, &own));
        for (unsigned i = 0; i < 8; i++) {
            held[i] = (struct peermr_lease)PEERMR_LEASE_INIT;
            uint64_t offset = (number * 7 + i) % 8 * 1024;
            if (i == 5)
                WORKS(peermr_cache_lease_address(common.cached.addresses, common.cached.machine.bytes + offset, 1024,
                                                 &held[i]));
            else
                WORKS(peermr_cache_lease(i % 2 ? own : common.cached.request, offset, 1024, &held[i]));
            CHECK(held[i].io_address == (uintptr_t)common.cached.machine.bytes + offset && held[i].lkey != 0);
        }
        struct peermr_lease found = PEERMR_LEASE_INIT;
        if (peermr_reader_find(reader, own, number % 8 * 1024, 10, &found) == PEERMR_OK)
            CHECK(found.length == 10 && found.lkey != 0);
        WORKS(peermr_reader_advance(reader));
        if (round % 50 == (int)number)
            WORKS(peermr_cache_invalidate_arena(common.cached.cache, common.cached.arena, number % 8 * 1024, 1, NULL));
        if (round % 64 == (int)number)
            WORKS(peermr_lease_invalidate(&held[3]));
        for (unsigned i = 0; i < 8; i++)
            WORKS(peermr_lease_release(&held[i]));
        if (round % 8 == 7 || round == ROUNDS - 1)
            WORKS(peermr_request_free(own));
    }
    WORKS(peermr_reader_free(reader));
    fake_verbs_join(NULL);
    return NULL;
}

void threads_lease(void)
{
    common.cached = cached_open(NULL);
    WORKS(peermr_request_addresses(common.cached.cache, common.cached.machine.pd, &common.cached.arena, 1, NULL,
                                   &common.cached.addresses));
    common.fake = fake_verbs_share();
    threads_run(&common.barrier, leasing);
    struct peermr_cache_statistics seen = statistics(common.cached.cache);
    CHECK(seen.bytes_leased == 0 && seen.ended_regions == 0 && seen.regions <= 8);
    CHECK(seen.hits + seen.misses + seen.waits >= THREADS * ROUNDS * 8);
    WORKS(peermr_address_request_free(common.cached.addresses));
    cached_close(&common.cached);
}

/* All give one lease back at once: one succeeds, and the others are told. The next ones are of other threads. */
static void *releasing(void *argument)
{
    (void)argument;
    fake_verbs_join(common.fake);
    for (int round = 0; round < ROUNDS; round++) {
        if (pthread_barrier_wait(&common.barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            common.shared = (struct peermr_lease)PEERMR_LEASE_INIT;
            WORKS(peermr_cache_lease(common.cached.request, 0, 4096, &common.shared));
            common.released = 0;
        }
        pthread_barrier_wait(&common.barrier);
        struct peermr_lease copy = common.shared;
        peermr_status status = peermr_lease_release(&copy);
        CHECK(status == PEERMR_OK || status == PEERMR_INVALID_ARGUMENT || status == PEERMR_BUSY);
        if (status == PEERMR_OK)
            __atomic_fetch_add(&common.released, 1, __ATOMIC_RELAXED);
        pthread_barrier_wait(&common.barrier);
        CHECK(__atomic_load_n(&common.released, __ATOMIC_RELAXED) == 1);
    }
    fake_verbs_join(NULL);
    return NULL;
}

void threads_share_a_lease(void)
{
    common.cached = cached_open(NULL);
    common.fake = fake_verbs_share();
    threads_run(&common.barrier, releasing);
    CHECK(statistics(common.cached.cache).bytes_leased == 0);
    cached_close(&common.cached);
}
