/* SPDX-License-Identifier: Apache-2.0 */
/* A part of peermr.h, which programs include, and which has the rules for all: many parts of memory at once. */
#ifndef PEERMR_BULK_H
#define PEERMR_BULK_H

#include "../peermr.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a part is a range of. */
enum peermr_part_kind {
    PEERMR_PART_ADDRESS = 1,       /* memory of this process, as for peermr_register_address() */
    PEERMR_PART_DMABUF = 2,        /* a dma-buf, as for peermr_register_dmabuf() */
    PEERMR_PART_P2PMEM = 3         /* p2pmem of peermr_p2pmem_allocate() */
};

/* A part of memory that is registered by itself. Members that are not its kind's are 0. In an array all elements have
 * the struct_size of the first. */
struct peermr_part {
    size_t struct_size;
    enum peermr_part_kind kind;
    int fd;                        /* DMABUF: stays the caller's; parts with one number are of one duplicate */
    void *address;                 /* ADDRESS: stays the caller's, mapped until all is deregistered */
    struct peermr_p2pmem *p2pmem;  /* P2PMEM: cannot be freed until all is deregistered */
    uint64_t offset;               /* DMABUF and P2PMEM: where the part begins, in bytes */
    uint64_t length;               /* in bytes */
    const char *provider_bdf;      /* DMABUF: as in peermr_options; NULL: not known */
};
#define PEERMR_PART_INIT {sizeof(struct peermr_part), (enum peermr_part_kind)0, 0, NULL, NULL, 0, 0, NULL}

#define PEERMR_BULK_POPULATE UINT32_C(1) /* in peermr_bulk_options.flags: make pages of host memory be there before */

/* How to register many parts. NULL stands for PEERMR_BULK_OPTIONS_INIT. */
struct peermr_bulk_options {
    size_t struct_size;
    int access;                    /* enum ibv_access_flags; on-demand paging is added where the method needs it */
    uint32_t flags;                /* PEERMR_BULK_*; unknown bits are an error */
    uint32_t threads;              /* how many register at once, the calling one among them; 0 for 1, at most 256 */
    uint32_t reserved;             /* 0 */
    uint64_t chunk_bytes;          /* the largest region, a multiple of a page; 0: as large as the device takes */
};
/* 1 is IBV_ACCESS_LOCAL_WRITE. */
#define PEERMR_BULK_OPTIONS_INIT {sizeof(struct peermr_bulk_options), 1, 0, 0, 0, 0}

struct peermr_bulk; /* parts of memory, each of which is registered in each of some protection domains */

/*
 * Registers every part in every protection domain: all of them, or none.
 *
 * What a device does not take at once (max_mr_size; on demand, 2 GiB for Soft-RoCE) is registered in chunks, whose keys
 * peermr_bulk_keys() finds by offset. Parts may overlap and be the same: each has keys of its own, and its pages count
 * against RLIMIT_MEMLOCK for each region. PEERMR_BULK_POPULATE allocates and clears the pages of host memory before
 * (MADV_POPULATE_WRITE, Linux 5.14; huge pages where there are some). Where a registration fails, what had been
 * registered is deregistered, and all threads have ended, before this returns.
 *
 * pds, pd_count: at least one, of the same device or of several; keep them open until all is deregistered.
 * parts, part_count: the parts; 0 make an object without regions. options: NULL for the defaults.
 * out: to be ended by peermr_bulk_deregister().
 * Fails with PEERMR_RESOURCE_LIMIT (more regions than a device has), PEERMR_INVALID_ARGUMENT, and what registering one
 * part fails with; its number, from 1, is in the reason.
 */
peermr_status peermr_register_bulk(struct ibv_pd *const *pds, size_t pd_count, const struct peermr_part *parts,
                                   size_t part_count, const struct peermr_bulk_options *options,
                                   struct peermr_bulk **out);

/* What a bulk registration came to. */
struct peermr_bulk_info {
    size_t struct_size;
    uint64_t region_count;         /* ibv_mrs: one for each chunk */
    uint64_t populated_bytes;      /* host memory that was populated */
    uint64_t populate_nanoseconds; /* how long that took */
    uint64_t register_nanoseconds; /* how long it took to register, without that */
};
#define PEERMR_BULK_INFO_INIT {sizeof(struct peermr_bulk_info), 0, 0, 0, 0}

/* Describes a bulk registration. */
peermr_status peermr_bulk_info(const struct peermr_bulk *bulk, struct peermr_bulk_info *out);

/* What a work request, or a peer, needs of a range. */
struct peermr_keys {
    size_t struct_size;
    uint32_t lkey;
    uint32_t rkey;
    uint64_t io_address;           /* the device's address of the first byte */
    uint64_t length;               /* in bytes */
    uint64_t alignment;            /* as in peermr_region_info */
    uint32_t path_mtu;             /* as in peermr_region_info */
    uint32_t reserved;
};
#define PEERMR_KEYS_INIT {sizeof(struct peermr_keys), 0, 0, 0, 0, 0, 0, 0}

/*
 * Finds the keys of a range of a part: in the same time whatever the number of chunks.
 *
 * part, pd: their places in what peermr_register_bulk() was given, from 0. offset, length: the range of the part, in
 * bytes. Addresses go on from chunk to chunk, keys do not: a range that lies in two chunks has no key, and is
 * PEERMR_INVALID_ARGUMENT; see peermr_bulk_piece(). So are places and ranges that there are not.
 */
peermr_status peermr_bulk_keys(const struct peermr_bulk *bulk, size_t part, size_t pd, uint64_t offset,
                               uint64_t length, struct peermr_keys *out);

/*
 * The keys of as much of a range as one chunk has: out->length may be less than length. What is left of the range
 * begins that many bytes further on.
 *
 * Locally the pieces of a range are the elements of a scatter-gather list; of a peer's memory each takes a work
 * request. Otherwise as peermr_bulk_keys().
 */
peermr_status peermr_bulk_piece(const struct peermr_bulk *bulk, size_t part, size_t pd, uint64_t offset,
                                uint64_t length, struct peermr_keys *out);

/*
 * Deregisters all regions. The handle is invalid afterwards.
 *
 * PEERMR_BUSY, and nothing changes, while another thread's call uses it. PEERMR_INVALID_ARGUMENT for NULL and an
 * invalid handle.
 */
peermr_status peermr_bulk_deregister(struct peermr_bulk *bulk);

#ifdef __cplusplus
}
#endif

#endif
