/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of what is mapped at an address. */
#include "caching.h"

#include <sys/mman.h>
#include <unistd.h>

static char *map(void *at, int fd)
{
    char *made = mmap(at, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
    CHECK(made != MAP_FAILED);
    return made;
}

void cache_addresses(void)
{
    struct cached cached = cached_open(NULL), stranger = cached_open(NULL);
    int fd[2] = {buffer_open(65536), buffer_open(65536)};
    char *area = map(NULL, fd[0]);
    struct peermr_address_request *request = NULL;
    struct peermr_lease first = PEERMR_LEASE_INIT, second = PEERMR_LEASE_INIT;
    struct peermr_arena *arenas[] = {cached.arena, NULL};
    WORKS(peermr_request_addresses(cached.cache, cached.machine.pd, arenas, 1, NULL, &request));
    WORKS(peermr_cache_lease_address(request, area + 4096, 8192, &first));
    CHECK(first.io_address == (uintptr_t)area + 4096 && first.length == 8192 && first.ticket != 0);
    CHECK(fake_verbs_last_buffer().offset == 4096 && fake_verbs_last_buffer().iova == first.io_address);
    WORKS(peermr_cache_lease_address(request, area + 8192, 100, &second));
    CHECK(second.lkey == first.lkey && second.ticket != first.ticket);
    WORKS(peermr_lease_release(&second));
    /* The address means another buffer. */
    map(area, fd[1]);
    WORKS(peermr_cache_lease_address(request, area + 4096, 8192, &second));
    CHECK(second.lkey != first.lkey && fake_verbs_live(FAKE_REGION) == 2);
    WORKS(peermr_lease_release(&second));
    WORKS(peermr_lease_release(&first));
    /* Host memory is of an arena, which the request keeps. */
    WORKS(peermr_cache_lease_address(request, cached.machine.bytes + 5, 100, &first));
    WORKS(peermr_cache_lease_address(request, cached.machine.bytes + 6, 10, &second));
    CHECK(second.lkey == first.lkey && second.io_address == first.io_address + 1);
    WORKS(peermr_lease_release(&first));
    WORKS(peermr_lease_release(&second));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, stranger.machine.bytes, 8192, &first));
    CHECK(says("no identity"));
    FAILS(PEERMR_BUSY, peermr_arena_free(cached.arena));
    FAILS(PEERMR_BUSY, peermr_cache_free(cached.cache));
    /* What is wrong with a range. */
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, area, 0, &first));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, NULL, 1, &first));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, area, UINT64_MAX, &first));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, area, 1, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease((struct peermr_request *)request, 0, 1, &first));
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_cache_lease_address((struct peermr_address_request *)cached.request, area, 1, &first));
    CHECK(first.ticket == 0);
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.flags = PEERMR_OPTION_IO_ADDRESS;
    struct peermr_address_request *none = NULL;
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_request_addresses(cached.cache, cached.machine.pd, NULL, 0, &options, &none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_addresses(cached.cache, cached.machine.pd, NULL, 1, NULL, &none));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_addresses(cached.cache, cached.machine.pd, arenas, 2, NULL, &none));
    CHECK(none == NULL);
    uint64_t ended = 0;
    WORKS(peermr_cache_invalidate_addresses(cached.cache, area + 12287, 1, &ended));
    CHECK(ended == 2);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_addresses(cached.cache, area, UINT64_MAX, &ended));
    CHECK(munmap(area, 65536) == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(request, area, 1, &first));
    WORKS(peermr_address_request_free(request));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_address_request_free(request));
    WORKS(peermr_cache_invalidate_all(cached.cache, NULL));
    CHECK(fake_verbs_live(FAKE_REGION) == 0 && descriptors(fd[0]) == 1 && descriptors(fd[1]) == 1);
    close(fd[0]);
    close(fd[1]);
    cached_close(&stranger);
    cached_close(&cached);
}
