/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of peermr.h, which programs include, and which has the rules for all: regions that stay registered.
 *
 * Other caches find regions by virtual address, and corrupt data where an address has come to mean other memory. This
 * one finds them by what the memory is: the number that the kernel gave a dma-buf, which it uses for no other, or an
 * object of the library (p2pmem, an arena of host memory). It hooks neither malloc nor munmap.
 *
 *     struct peermr_cache *cache;
 *     struct peermr_request *request;                      once for a buffer, a domain and rights
 *     struct peermr_lease lease = PEERMR_LEASE_INIT;
 *     peermr_cache_create(NULL, &cache);
 *     peermr_request_dmabuf(cache, pd, fd, 0, size, NULL, &request);
 *     if (peermr_cache_lease(request, offset, length, &lease) == PEERMR_OK) {
 *         ...                                              post lease.io_address with lease.lkey, and poll
 *         peermr_lease_release(&lease);
 *     }
 *
 * A lease that is found takes no lock, allocates nothing and makes no system call. A region that has been evicted or
 * invalidated is deregistered with its last lease, and never before. After fork(2) a child's caches are empty: leases
 * give PEERMR_NOT_SUPPORTED there, and what the child frees stays the parent's.
 */
#ifndef PEERMR_CACHE_H
#define PEERMR_CACHE_H

#include "../peermr.h"

#ifdef __cplusplus
extern "C" {
#endif

struct peermr_options; /* of peermr/region.h, as is the next */
struct peermr_p2pmem;
struct peermr_cache;   /* regions that stay registered */
struct peermr_arena;   /* host memory that the application answers for */
struct peermr_request; /* a memory, a domain and rights, looked up once for many leases */
struct peermr_reader;  /* one thread's own way into a cache */
struct peermr_address_request; /* a domain and rights, for leases of whatever is mapped at an address */

/* How much a cache keeps. What is leased counts, and is never evicted: with many leases it keeps more. */
struct peermr_cache_limits {
    size_t struct_size;
    uint64_t regions;              /* the most regions, 1 to 16777216 */
    uint64_t bytes;                /* the most bytes in them, from 1 on */
};
#define PEERMR_CACHE_LIMITS_INIT {sizeof(struct peermr_cache_limits), 4096, UINT64_MAX}

/*
 * Makes a cache without regions.
 *
 * limits: NULL for PEERMR_CACHE_LIMITS_INIT. out: to be freed by peermr_cache_free().
 * Fails with PEERMR_INVALID_ARGUMENT (a limit of 0, or too high), PEERMR_RESOURCE_LIMIT (ENOMEM).
 */
peermr_status peermr_cache_create(const struct peermr_cache_limits *limits, struct peermr_cache **out);

/*
 * Frees a cache. Its regions are deregistered, those that are leased with their last lease.
 *
 * PEERMR_BUSY, and nothing changes, while a request or a reader of it lives, or another thread's call uses it;
 * PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_cache_free(struct peermr_cache *cache);

/*
 * Declares host memory that regions of caches may be of. An address alone is no identity: as long as the arena lives,
 * the address means this memory. The application keeps it mapped, and frees the arena before it unmaps it.
 *
 * out: to be freed by peermr_arena_free().
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, no bytes, an end beyond the last address).
 */
peermr_status peermr_arena_create(void *address, uint64_t length, struct peermr_arena **out);

/*
 * Ends an arena.
 *
 * PEERMR_BUSY, and nothing changes, while a request or a cached region is over it: free the requests, and call
 * peermr_cache_invalidate_arena() for each cache. PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_arena_free(struct peermr_arena *arena);

/*
 * Looks up what leases of a memory have in common: the memory, the domain, and the rights.
 *
 * pd: the application's; keep it allocated until peermr_cache_release_domain(). memory, arena, fd: stay the caller's;
 * fd may be closed when this returns. offset, length: the part of a dma-buf that leases count from, in bytes. options:
 * NULL for the defaults. Remote rights of regions are exactly these, local ones may be more. PEERMR_OPTION_WIDEN lets a
 * lease register all of the memory, which is never done with remote rights; a fallback is PEERMR_INVALID_ARGUMENT. out:
 * to be freed by peermr_request_free().
 * Fails with PEERMR_INVALID_ARGUMENT (EBADF, no dma-buf, a part outside it, NULL), PEERMR_NOT_FOUND (the provider in
 * the options), PEERMR_NOT_SUPPORTED (in a child process), PEERMR_RESOURCE_LIMIT (EMFILE).
 */
peermr_status peermr_request_p2pmem(struct peermr_cache *cache, struct ibv_pd *pd, struct peermr_p2pmem *memory,
                                    const struct peermr_options *options, struct peermr_request **out);
peermr_status peermr_request_dmabuf(struct peermr_cache *cache, struct ibv_pd *pd, int fd, uint64_t offset,
                                    uint64_t length, const struct peermr_options *options,
                                    struct peermr_request **out);
peermr_status peermr_request_arena(struct peermr_cache *cache, struct ibv_pd *pd, struct peermr_arena *arena,
                                   const struct peermr_options *options, struct peermr_request **out);

/*
 * Frees a request. Regions stay in the cache, and leases stay good. PEERMR_BUSY, and nothing changes, while another
 * thread's call uses it; PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_request_free(struct peermr_request *request);

/* What a lease is: numbers for work requests. A copy is the same lease. */
struct peermr_lease {
    size_t struct_size;
    uint64_t io_address;           /* the device's address of the range's first byte: for work requests, for peers */
    uint64_t length;               /* of the range, in bytes */
    uint32_t lkey;
    uint32_t rkey;
    uint64_t alignment;            /* as in peermr_region_info: what addresses must be a multiple of; 1: any */
    uint32_t path_mtu;             /* as there: the only path MTU at which transfers are right, in bytes; 0: any */
    uint32_t reserved;
    uint64_t ticket;               /* the library's name for the lease, which no other ever has; 0: none */
};
#define PEERMR_LEASE_INIT {sizeof(struct peermr_lease), 0, 0, 0, 0, 0, 0, 0, 0}

/*
 * Leases a region that has a range of the request's memory: one of the cache, or one that is registered now. Threads
 * that ask for the same meanwhile wait for that registration, others do not; a failure is not remembered.
 *
 * offset, length: the range, in bytes. out: the lease, to be given back by peermr_lease_release() when no work request
 * that uses its keys is outstanding any more.
 * Fails with PEERMR_INVALID_ARGUMENT (an empty range, one that is not inside the memory, a domain that was released,
 * access that the memory does not allow, rights that the device refuses with EINVAL), PEERMR_NOT_SUPPORTED (in a child
 * process; or the device, exporter or route does not support it), PEERMR_PEER_LOST (the exporter has revoked the
 * memory), PEERMR_RESOURCE_LIMIT (ENOMEM, after idle regions were evicted and it was tried again),
 * PEERMR_NOT_PERMITTED, PEERMR_UNSAFE_HERE.
 */
peermr_status peermr_cache_lease(const struct peermr_request *request, uint64_t offset, uint64_t length,
                                 struct peermr_lease *out);

/*
 * Looks up what leases by address have in common, for those who have an address and nothing else: the domain, the
 * rights, and the host memory that addresses may be of.
 *
 * pd: as for peermr_request_p2pmem(). arenas, arena_count: none of them can be freed as long as the request lives; NULL
 * and 0 for none. options: NULL for the defaults; PEERMR_OPTION_WIDEN lets a lease register all of a mapping, an I/O
 * address is PEERMR_INVALID_ARGUMENT, and so is a fallback. out: to be freed by peermr_address_request_free().
 * Fails with PEERMR_INVALID_ARGUMENT (NULL), PEERMR_NOT_SUPPORTED (in a child process).
 */
peermr_status peermr_request_addresses(struct peermr_cache *cache, struct ibv_pd *pd,
                                       struct peermr_arena *const *arenas, size_t arena_count,
                                       const struct peermr_options *options, struct peermr_address_request **out);

/* Frees such a request, as peermr_request_free() does. */
peermr_status peermr_address_request_free(struct peermr_address_request *request);

/*
 * Leases a region that has a range of this process's addresses. The kernel is asked what is mapped there each time, by
 * two system calls in less than a microsecond (PROCMAP_QUERY, Linux 6.11; else /proc/self/maps is read), and the answer
 * is what the cache looks for: an address that has come to mean other memory finds nothing of before.
 *
 * address: p2pmem that the application has mapped, a dma-buf that it has mapped and has a descriptor of, or memory of
 * the request's arenas. It is the I/O address, too. length: in bytes. out: as for peermr_cache_lease(); good as long as
 * that memory stays mapped. A region of p2pmem is one over addresses: call peermr_cache_invalidate_addresses() before
 * such memory is unmapped of which peers have keys, or they have keys of what comes there.
 * Fails with PEERMR_INVALID_ARGUMENT (an empty range, one with holes in it or over several objects, host memory of no
 * arena), PEERMR_NOT_FOUND (no descriptor of the dma-buf is open any more), PEERMR_NOT_PERMITTED (a mapping for reading
 * only), PEERMR_NOT_SUPPORTED (a mapping of a device's driver, a private one of p2pmem or a dma-buf), PEERMR_PEER_LOST
 * (the p2pmem is gone), and as peermr_cache_lease() does.
 */
peermr_status peermr_cache_lease_address(const struct peermr_address_request *request, const void *address,
                                         uint64_t length, struct peermr_lease *out);

/*
 * Gives a lease back, from any thread. Sets the ticket to 0.
 *
 * PEERMR_INVALID_ARGUMENT for a lease that was given back before, also by way of a copy, and for none. PEERMR_BUSY
 * while another thread's call uses it. PEERMR_NOT_SUPPORTED in a child process.
 */
peermr_status peermr_lease_release(struct peermr_lease *lease);

/*
 * Ends the region of a lease: a completion had an error, or its memory was revoked. No lookup finds it from here on,
 * and it is deregistered with its last lease, which is still to be given back. Fails as peermr_lease_release() does.
 */
peermr_status peermr_lease_invalidate(const struct peermr_lease *lease);

/*
 * Makes a way into the cache for the calling thread, which finds regions and writes nothing that other threads see.
 * What it has found stays registered until peermr_reader_advance(), whatever ends meanwhile.
 *
 * out: to be freed by peermr_reader_free(), by any thread; other calls with it are for the thread that made it.
 * Fails with PEERMR_RESOURCE_LIMIT (ENOMEM), PEERMR_NOT_SUPPORTED (in a child process), PEERMR_INVALID_ARGUMENT.
 */
peermr_status peermr_reader_create(struct peermr_cache *cache, struct peermr_reader **out);

/*
 * Gives the keys of a range, where a region of the cache has it. There is nothing to give back: the ticket is 0.
 *
 * Fails with PEERMR_NOT_FOUND (no region has it: peermr_cache_lease() registers one), PEERMR_INVALID_ARGUMENT (a
 * request of another cache, a reader of another thread, a range that is not inside the memory).
 */
peermr_status peermr_reader_find(struct peermr_reader *reader, const struct peermr_request *request, uint64_t offset,
                                 uint64_t length, struct peermr_lease *out);

/*
 * Lets go of all that the reader has found. Call it often, where no work request that uses such keys is outstanding:
 * until then nothing that has ended is deregistered. PEERMR_INVALID_ARGUMENT for a reader of another thread.
 */
peermr_status peermr_reader_advance(struct peermr_reader *reader);

/* Frees a reader. PEERMR_BUSY, and nothing changes, while its thread's call uses it. */
peermr_status peermr_reader_free(struct peermr_reader *reader);

/*
 * Invalidates the regions of a memory that have a part of a range, whatever their domain and rights: no lookup finds
 * them from here on, and they are deregistered with their last lease.
 *
 * offset, length: the range, in bytes, as far as it is inside the memory; for a dma-buf, of the whole buffer. 0 and
 * UINT64_MAX are all. ended: how many ended; NULL where that does not matter.
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, EBADF, no dma-buf), PEERMR_NOT_SUPPORTED (in a child process).
 */
peermr_status peermr_cache_invalidate_p2pmem(struct peermr_cache *cache, struct peermr_p2pmem *memory,
                                             uint64_t offset, uint64_t length, uint64_t *ended);
peermr_status peermr_cache_invalidate_dmabuf(struct peermr_cache *cache, int fd, uint64_t offset, uint64_t length,
                                             uint64_t *ended);
peermr_status peermr_cache_invalidate_arena(struct peermr_cache *cache, struct peermr_arena *arena, uint64_t offset,
                                            uint64_t length, uint64_t *ended);

/* Invalidates the regions of a PCI function's memory: it is going, or its driver is. Fails as those above do. */
peermr_status peermr_cache_invalidate_provider(struct peermr_cache *cache, const char *provider_bdf, uint64_t *ended);

/*
 * Invalidates the regions of memory that was mapped in a range of addresses, whatever is mapped there now: before it is
 * unmapped. Fails with PEERMR_INVALID_ARGUMENT (no bytes, an end beyond the last address), and as those above do.
 */
peermr_status peermr_cache_invalidate_addresses(struct peermr_cache *cache, const void *address, uint64_t length,
                                                uint64_t *ended);

/* Invalidates all regions of a cache. Fails as those above do. */
peermr_status peermr_cache_invalidate_all(struct peermr_cache *cache, uint64_t *ended);

/*
 * Invalidates the regions of a protection domain, which the application is about to deallocate: before that
 * ibv_dealloc_pd() gives EBUSY. Requests of it lease nothing any more; free them. What is requested for the same ibv_pd
 * later is of a new domain.
 *
 * PEERMR_BUSY while regions of it are leased, are being registered, or may be seen by a reader. They have ended all the
 * same: give the leases back, and call this once more. Otherwise fails as those above do.
 */
peermr_status peermr_cache_release_domain(struct peermr_cache *cache, struct ibv_pd *pd);

/* What a cache did, and holds. */
struct peermr_cache_statistics {
    size_t struct_size;
    uint64_t hits;                 /* lookups that found a region; a reader's count when it is freed */
    uint64_t misses;               /* lookups that registered one, or tried to */
    uint64_t waits;                /* lookups that waited for another thread's registration of the same */
    uint64_t evictions_count;      /* idle regions that were deregistered for the limit of regions, */
    uint64_t evictions_bytes;      /* for the limit of bytes, */
    uint64_t evictions_memory;     /* and because a registration failed with ENOMEM */
    uint64_t invalidations_buffer; /* regions that ended because their memory was named, */
    uint64_t invalidations_range;  /* a range of it, */
    uint64_t invalidations_provider;
    uint64_t invalidations_domain;
    uint64_t invalidations_loss;   /* a lease of theirs (peermr_lease_invalidate()), */
    uint64_t invalidations_all;    /* or the whole cache */
    uint64_t regions;              /* regions that can be found */
    uint64_t ended_regions;        /* regions that have ended, and are leased still or may be seen by a reader */
    uint64_t bytes_leased;
    uint64_t bytes_idle;
    uint64_t registration_nanoseconds; /* how long the registrations took */
    uint64_t saved_nanoseconds;    /* how long the hits would have taken as registrations of the same regions */
};
#define PEERMR_CACHE_STATISTICS_INIT \
    {sizeof(struct peermr_cache_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* Gives what a cache did, and holds. Looks at each region: for a report, and not for each request. */
peermr_status peermr_cache_statistics(struct peermr_cache *cache, struct peermr_cache_statistics *out);

#ifdef __cplusplus
}
#endif

#endif
