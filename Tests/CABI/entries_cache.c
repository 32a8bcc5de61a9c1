/* SPDX-License-Identifier: Apache-2.0 */
/* As in entries.c: a call of each function of peermr/cache.h that fails, and one that works. */
#include "entries.h"

static void fail_create(void)
{
    struct peermr_cache_limits limits = PEERMR_CACHE_LIMITS_INIT;
    struct peermr_cache *out;
    limits.bytes = 0;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_create(&limits, &out));
}

static void do_create(void)
{
    struct peermr_cache *out = NULL;
    WORKS(peermr_cache_create(NULL, &out));
    WORKS(peermr_cache_free(out));
}

static void fail_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_free(no_handle()));
}

static void fail_arena_create(void)
{
    struct peermr_arena *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_arena_create(have.machine.bytes, 0, &out));
}

static void do_arena_create(void)
{
    struct peermr_arena *out = NULL;
    WORKS(peermr_arena_create(have.machine.bytes, 1, &out));
    WORKS(peermr_arena_free(out));
}

static void fail_arena_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_arena_free(no_handle()));
}

static void fail_request_p2pmem(void)
{
    struct peermr_request *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_p2pmem(have.cache, have.machine.pd, no_handle(), NULL, &out));
}

static void fail_request_dmabuf(void)
{
    struct peermr_request *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_dmabuf(have.cache, have.machine.pd, -1, 0, 1, NULL, &out));
}

static void fail_request_arena(void)
{
    struct peermr_request *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_arena(have.cache, have.machine.pd, no_handle(), NULL, &out));
}

static void do_request_arena(void)
{
    struct peermr_request *out = NULL;
    WORKS(peermr_request_arena(have.cache, have.machine.pd, have.arena, NULL, &out));
    WORKS(peermr_request_free(out));
}

static void fail_request_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_free(no_handle()));
}

static void fail_lease(void)
{
    struct peermr_lease out = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease(no_handle(), 0, 1, &out));
}

static void do_lease(void)
{
    struct peermr_lease out = PEERMR_LEASE_INIT;
    WORKS(peermr_cache_lease(have.request, 0, 100, &out));
    WORKS(peermr_lease_release(&out));
}

static void fail_request_addresses(void)
{
    struct peermr_address_request *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_request_addresses(no_handle(), have.machine.pd, NULL, 0, NULL, &out));
}

static void do_addresses(void)
{
    struct peermr_address_request *request = NULL;
    struct peermr_lease out = PEERMR_LEASE_INIT;
    WORKS(peermr_request_addresses(have.cache, have.machine.pd, &have.arena, 1, NULL, &request));
    WORKS(peermr_cache_lease_address(request, have.machine.bytes, 100, &out));
    WORKS(peermr_lease_release(&out));
    WORKS(peermr_address_request_free(request));
}

static void fail_address_request_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_address_request_free(no_handle()));
}

static void fail_lease_address(void)
{
    struct peermr_lease out = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_lease_address(no_handle(), have.machine.bytes, 1, &out));
}

static void fail_invalidate_addresses(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_addresses(have.cache, have.machine.bytes, 0, NULL));
}

static void do_invalidate_addresses(void)
{
    WORKS(peermr_cache_invalidate_addresses(have.cache, have.machine.bytes, 1, NULL));
}

static void fail_release(void)
{
    struct peermr_lease none = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_release(&none));
}

static void fail_invalidate(void)
{
    struct peermr_lease none = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_lease_invalidate(&none));
}

static void do_invalidate(void)
{
    struct peermr_lease out = PEERMR_LEASE_INIT;
    WORKS(peermr_cache_lease(have.request, 0, 100, &out));
    WORKS(peermr_lease_invalidate(&out));
    WORKS(peermr_lease_release(&out));
}

static void fail_reader_create(void)
{
    struct peermr_reader *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_create(no_handle(), &out));
}

static void fail_reader_find(void)
{
    struct peermr_lease out = PEERMR_LEASE_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_find(no_handle(), have.request, 0, 1, &out));
}

static void do_reader(void)
{
    struct peermr_reader *reader = NULL;
    struct peermr_lease out = PEERMR_LEASE_INIT, found = PEERMR_LEASE_INIT;
    WORKS(peermr_reader_create(have.cache, &reader));
    WORKS(peermr_cache_lease(have.request, 0, 100, &out));
    WORKS(peermr_reader_find(reader, have.request, 0, 100, &found));
    WORKS(peermr_lease_release(&out));
    WORKS(peermr_reader_advance(reader));
    WORKS(peermr_reader_free(reader));
}

static void fail_reader_advance(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_advance(no_handle()));
}

static void fail_reader_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_reader_free(no_handle()));
}

static void fail_invalidate_p2pmem(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_p2pmem(have.cache, no_handle(), 0, 1, NULL));
}

static void fail_invalidate_dmabuf(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_dmabuf(have.cache, -1, 0, 1, NULL));
}

static void fail_invalidate_arena(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_arena(have.cache, no_handle(), 0, 1, NULL));
}

static void do_invalidate_arena(void)
{
    WORKS(peermr_cache_invalidate_arena(have.cache, have.arena, 0, UINT64_MAX, NULL));
}

static void fail_invalidate_provider(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_provider(have.cache, "nothing", NULL));
}

static void do_invalidate_provider(void)
{
    WORKS(peermr_cache_invalidate_provider(have.cache, "ffff:ff:1f.7", NULL));
}

static void fail_invalidate_all(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_invalidate_all(no_handle(), NULL));
}

static void do_invalidate_all(void)
{
    WORKS(peermr_cache_invalidate_all(have.cache, NULL));
}

static void fail_release_domain(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_release_domain(no_handle(), have.machine.pd));
}

static void fail_statistics(void)
{
    struct peermr_cache_statistics out = PEERMR_CACHE_STATISTICS_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_cache_statistics(no_handle(), &out));
}

static void do_statistics(void)
{
    struct peermr_cache_statistics out = PEERMR_CACHE_STATISTICS_INIT;
    WORKS(peermr_cache_statistics(have.cache, &out));
}

const struct entry cache_entries[] = {
    ENTRY(peermr_cache_create, ENDS, fail_create, do_create),
    ENTRY(peermr_cache_free, ENDS, fail_free, do_create),
    ENTRY(peermr_arena_create, ENDS, fail_arena_create, do_arena_create),
    ENTRY(peermr_arena_free, ENDS, fail_arena_free, do_arena_create),
    ENTRY(peermr_request_p2pmem, ENDS, fail_request_p2pmem, NULL),
    ENTRY(peermr_request_dmabuf, ENDS, fail_request_dmabuf, NULL),
    ENTRY(peermr_request_arena, ENDS, fail_request_arena, do_request_arena),
    ENTRY(peermr_request_free, ENDS, fail_request_free, do_request_arena),
    ENTRY(peermr_cache_lease, ENDS, fail_lease, do_lease),
    ENTRY(peermr_request_addresses, ENDS, fail_request_addresses, do_addresses),
    ENTRY(peermr_address_request_free, ENDS, fail_address_request_free, do_addresses),
    ENTRY(peermr_cache_lease_address, ENDS, fail_lease_address, do_addresses),
    ENTRY(peermr_cache_invalidate_addresses, ENDS, fail_invalidate_addresses, do_invalidate_addresses),
    ENTRY(peermr_lease_release, ENDS, fail_release, do_lease),
    ENTRY(peermr_lease_invalidate, ENDS, fail_invalidate, do_invalidate),
    ENTRY(peermr_reader_create, ENDS, fail_reader_create, do_reader),
    ENTRY(peermr_reader_find, ENDS, fail_reader_find, do_reader),
    ENTRY(peermr_reader_advance, ENDS, fail_reader_advance, do_reader),
    ENTRY(peermr_reader_free, ENDS, fail_reader_free, do_reader),
    ENTRY(peermr_cache_invalidate_p2pmem, ENDS, fail_invalidate_p2pmem, NULL),
    ENTRY(peermr_cache_invalidate_dmabuf, ENDS, fail_invalidate_dmabuf, NULL),
    ENTRY(peermr_cache_invalidate_arena, ENDS, fail_invalidate_arena, do_invalidate_arena),
    ENTRY(peermr_cache_invalidate_provider, ENDS, fail_invalidate_provider, do_invalidate_provider),
    ENTRY(peermr_cache_invalidate_all, ENDS, fail_invalidate_all, do_invalidate_all),
    ENTRY(peermr_cache_release_domain, ENDS, fail_release_domain, NULL),
    ENTRY(peermr_cache_statistics, ENDS, fail_statistics, do_statistics),
};

const unsigned cache_entry_count = sizeof(cache_entries) / sizeof(*cache_entries);
