/* SPDX-License-Identifier: Apache-2.0 */
/* Caches, requests, leases and readers misused: an error each, and nothing that is left. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caching.h"

void leases_twice(void)
{
    struct cached cached = cached_open(NULL);
    struct peermr_lease lease = PEERMR_LEASE_INIT, none = PEERMR_LEASE_INIT, other = PEERMR_LEASE_INIT;
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &other));
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &lease));
    struct peermr_lease copy = lease, forged = lease;
    WORKS(peermr_lease_release(&lease));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&lease));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&copy));
    CHECK(says("given back before"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_invalidate(&copy));
    /* A later lease never has the ticket of an earlier one. */
    for (int i = 0; i < 1000; i++) {
        WORKS(peermr_cache_lease(cached.request, 0, 100, &lease));
        CHECK(lease.ticket != copy.ticket);
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&copy));
        WORKS(peermr_lease_release(&lease));
    }
    uint64_t tickets[] = {0, 1, UINT64_MAX, other.ticket + 1, other.ticket ^ (UINT64_C(1) << 63), 1 << 24,
                          other.ticket + (1 << 24), (uintptr_t)cached.request};
    for (unsigned i = 0; i < sizeof(tickets) / sizeof(*tickets); i++) {
        forged.ticket = tickets[i];
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&forged));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_invalidate(&forged));
    }
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_invalidate(NULL));
    memset(&none, 0, sizeof(none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(cached.request, 0, 1, &none));
    /* The other lease still holds the region. */
    WORKS(peermr_cache_invalidate_all(cached.cache, NULL));
    CHECK(fake_verbs_live(FAKE_REGION) == 1);
    WORKS(peermr_lease_release(&other));
    CHECK(fake_verbs_live(FAKE_REGION) == 0);
    cached_close(&cached);
}

void cache_refusals(void)
{
    struct cached cached = cached_open(NULL);
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    uint64_t ranges[][2] = {{0, 0}, {0, 8193}, {8192, 1}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX},
                            {INT64_MAX, 1}, {UINT64_C(1) << 63, 1}, {0, UINT64_C(1) << 63}};
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(cached.request, ranges[i][0], ranges[i][1], &lease));
    CHECK(lease.ticket == 0 && lease.lkey == 0);
    struct peermr_options bounce = PEERMR_OPTIONS_INIT, unknown = PEERMR_OPTIONS_INIT;
    struct peermr_request *out = NULL;
    bounce.fallback = PEERMR_FALLBACK_BOUNCE;
    unknown.flags = 4;
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_request_arena(cached.cache, cached.machine.pd, cached.arena, &bounce, &out));
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_request_arena(cached.cache, cached.machine.pd, cached.arena, &unknown, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_arena(cached.cache, NULL, cached.arena, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_arena(NULL, cached.machine.pd, cached.arena, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_request_arena((struct peermr_cache *)cached.arena, cached.machine.pd, cached.arena, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_p2pmem(cached.cache, cached.machine.pd,
                                                         (struct peermr_p2pmem *)cached.arena, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_dmabuf(cached.cache, cached.machine.pd, -1, 0, 1, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_arena(cached.cache, cached.machine.pd, cached.arena, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_create(NULL, NULL));
    struct peermr_arena *arena = NULL;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_arena_create(NULL, 1, &arena));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_arena_create(cached.machine.bytes, 0, &arena));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_arena_create((void *)(UINTPTR_MAX - 4095), 8192, &arena));
    /* What is in use is not freed. */
    FAILS(PEERMR_BUSY, peermr_cache_free(cached.cache));
    FAILS(PEERMR_BUSY, peermr_arena_free(cached.arena));
    WORKS(peermr_cache_lease(cached.request, 0, 8192, &lease));
    WORKS(peermr_request_free(cached.request));
    struct peermr_lease none = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(cached.request, 0, 8192, &none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_free(cached.request));
    cached.request = NULL;
    WORKS(peermr_lease_release(&lease));
    FAILS(PEERMR_BUSY, peermr_arena_free(cached.arena));
    WORKS(peermr_cache_invalidate_all(cached.cache, NULL));
    cached_close(&cached);
}

void cache_access(void)
{
    struct cached cached = cached_open(NULL);
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    fake_verbs_fail_times("ibv_reg_mr", EINVAL, 1);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(cached.request, 0, 4096, &lease));
    int fd = fake_verbs_memory_file();
    char path[64];
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int readonly = open(path, O_RDONLY | O_CLOEXEC);
    fake_verbs_declare_buffer(readonly);
    fake_verbs_set_buffer_probe(EBADF);
    struct peermr_request *request = NULL;
    WORKS(peermr_request_dmabuf(cached.cache, cached.machine.pd, readonly, 0, 4096, NULL, &request));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(request, 0, 4096, &lease));
    /* A failure is not remembered, and holds nothing. */
    fake_verbs_fail_times("ibv_reg_mr", EIO, 1);
    CHECK(peermr_cache_lease(cached.request, 0, 4096, &lease) == PEERMR_SYSTEM && lease.ticket == 0);
    WORKS(peermr_cache_lease(cached.request, 0, 4096, &lease));
    WORKS(peermr_lease_release(&lease));
    struct peermr_cache_statistics seen = statistics(cached.cache);
    CHECK(seen.regions == 1 && seen.misses == 4 && seen.bytes_leased == 0);
    WORKS(peermr_request_free(request));
    close(readonly);
    close(fd);
    cached_close(&cached);
}

int descriptors(int of)
{
    int count = 0;
    struct stat wanted, found;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder && fstat(of, &wanted) == 0);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += fstatat(dirfd(folder), entry->d_name, &found, 0) == 0 && found.st_ino == wanted.st_ino
                 && found.st_dev == wanted.st_dev;
    if (folder)
        closedir(folder);
    return count;
}

static void cycle(struct machine *machine, int buffer)
{
    struct peermr_cache *cache = NULL;
    struct peermr_arena *arena = NULL;
    struct peermr_request *requests[2] = {NULL, NULL};
    struct peermr_reader *reader = NULL;
    struct peermr_lease lease = PEERMR_LEASE_INIT, found = PEERMR_LEASE_INIT;
    struct ibv_pd *pd = ibv_alloc_pd(machine->context);
    WORKS(peermr_cache_create(NULL, &cache));
    WORKS(peermr_arena_create(machine->bytes, 8192, &arena));
    WORKS(peermr_request_arena(cache, pd, arena, NULL, &requests[0]));
    WORKS(peermr_request_dmabuf(cache, pd, buffer, 0, 4096, NULL, &requests[1]));
    WORKS(peermr_reader_create(cache, &reader));
    for (int i = 0; i < 2; i++) {
        WORKS(peermr_cache_lease(requests[i], 0, 4096, &lease));
        WORKS(peermr_reader_find(reader, requests[i], 0, 100, &found));
        WORKS(i ? peermr_lease_invalidate(&lease) : PEERMR_OK);
        WORKS(peermr_lease_release(&lease));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&lease));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(requests[i], 4096, 8192, &lease));
    }
    fake_verbs_fail_times("ibv_reg_mr", EINVAL, 1);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(requests[0], 4096, 100, &lease));
    WORKS(peermr_reader_free(reader));
    WORKS(peermr_cache_release_domain(cache, pd));
    CHECK(ibv_dealloc_pd(pd) == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(requests[0], 0, 4096, &lease));
    for (int i = 0; i < 2; i++)
        WORKS(peermr_request_free(requests[i]));
    WORKS(peermr_cache_free(cache));
    WORKS(peermr_arena_free(arena));
}

void cache_cycles(void)
{
    struct machine machine = machine_open();
    int buffer = buffer_open(4096);
    for (int round = 0; round < 1000; round++) {
        cycle(&machine, buffer);
        CHECK(fake_verbs_live(FAKE_REGION) == 0 && fake_verbs_live(FAKE_PROTECTION_DOMAIN) == 1);
    }
    CHECK(descriptors(buffer) == 1);
    close(buffer);
    machine_close(&machine);
}

/* In a child the parent's cache is empty and dead: the number of the first thing that is otherwise. */
static int look(void *argument)
{
    struct cached *cached = argument;
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    struct peermr_cache_statistics seen = PEERMR_CACHE_STATISTICS_INIT;
    if (peermr_cache_lease(cached->request, 0, 4096, &lease) != PEERMR_NOT_SUPPORTED)
        return 1;
    if (peermr_reader_find(cached->reader, cached->request, 0, 1, &lease) != PEERMR_NOT_SUPPORTED)
        return 2;
    if (peermr_lease_invalidate(&cached->lease) != PEERMR_NOT_SUPPORTED)
        return 3;
    if (peermr_cache_lease_address(cached->addresses, cached->machine.bytes, 1, &lease) != PEERMR_NOT_SUPPORTED)
        return 10;
    if (peermr_address_request_free(cached->addresses) != PEERMR_OK)
        return 11;
    if (peermr_lease_release(&cached->lease) != PEERMR_NOT_SUPPORTED)
        return 4;
    if (peermr_cache_invalidate_all(cached->cache, NULL) != PEERMR_NOT_SUPPORTED)
        return 5;
    if (peermr_cache_statistics(cached->cache, &seen) != PEERMR_NOT_SUPPORTED)
        return 6;
    if (peermr_reader_free(cached->reader) != PEERMR_OK || peermr_request_free(cached->request) != PEERMR_OK)
        return 7;
    if (peermr_cache_free(cached->cache) != PEERMR_OK)
        return 8;
    return fake_verbs_live(FAKE_REGION) == 1 ? 0 : 9;
}

void cache_after_fork(void)
{
    struct cached cached = cached_open(NULL);
    struct peermr_lease again = PEERMR_LEASE_INIT;
    cached.lease = again;
    WORKS(peermr_reader_create(cached.cache, &cached.reader));
    WORKS(peermr_cache_lease(cached.request, 0, 4096, &cached.lease));
    WORKS(peermr_request_addresses(cached.cache, cached.machine.pd, &cached.arena, 1, NULL, &cached.addresses));
    WORKS(peermr_cache_lease_address(cached.addresses, cached.machine.bytes, 1, &again));
    WORKS(peermr_lease_release(&again));
    CHECK(fake_verbs_in_child(look, &cached) == 0);
    WORKS(peermr_cache_lease(cached.request, 0, 4096, &again));
    CHECK(again.lkey == cached.lease.lkey);
    WORKS(peermr_lease_release(&again));
    WORKS(peermr_lease_release(&cached.lease));
    WORKS(peermr_reader_free(cached.reader));
    WORKS(peermr_address_request_free(cached.addresses));
    cached_close(&cached);
}
