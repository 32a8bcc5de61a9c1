/* SPDX-License-Identifier: Apache-2.0 */
/* A part of peermr.h, which programs include, and which has the rules for all: p2pmem, regions and proofs. */
#ifndef PEERMR_REGION_H
#define PEERMR_REGION_H

#include "../peermr.h"

#ifdef __cplusplus
extern "C" {
#endif

struct peermr_p2pmem; /* peer-to-peer memory of a PCI function (an NVMe controller memory buffer), mapped here */

/*
 * Allocates a contiguous run of a function's peer-to-peer memory, and overwrites the last owner's bytes with zeros.
 *
 * length: in bytes, rounded up to pages; see peermr_p2pmem_length(). out: to be freed by peermr_p2pmem_free().
 * Fails with PEERMR_NOT_FOUND (the function publishes none), PEERMR_RESOURCE_LIMIT (ENOMEM: not that much is free in
 * one piece), PEERMR_NOT_PERMITTED (EACCES: /sys/bus/pci/devices/BDF/p2pmem/allocate may not be opened),
 * PEERMR_NOT_SUPPORTED (before Linux 6.2), PEERMR_INVALID_ARGUMENT.
 */
peermr_status peermr_p2pmem_allocate(const char *provider_bdf, uint64_t length, struct peermr_p2pmem **out);

/*
 * The first byte of the mapping, for the CPU or other devices' I/O (O_DIRECT); NULL, with the failure recorded, for an
 * invalid handle. The CPU reaches it over PCIe, uncached. Touching it when its device is gone raises SIGBUS.
 */
void *peermr_p2pmem_address(const struct peermr_p2pmem *memory);

/* Its length in bytes; 0, with the failure recorded, for an invalid handle. */
uint64_t peermr_p2pmem_length(const struct peermr_p2pmem *memory);

/*
 * Unmaps the memory and returns it to the pool. PEERMR_BUSY, and nothing changes, while a region over it lives;
 * PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_p2pmem_free(struct peermr_p2pmem *memory);

/* What to do where memory cannot be registered. */
enum peermr_fallback {
    PEERMR_FALLBACK_REFUSE = 0,    /* fail, with the reason */
    PEERMR_FALLBACK_BOUNCE = 1     /* register zeroed host memory of the library instead; the application copies */
};

#define PEERMR_OPTION_IO_ADDRESS UINT32_C(1) /* in peermr_options.flags: io_address is meant */
#define PEERMR_OPTION_WIDEN UINT32_C(2)      /* for requests of caches only: register all of the memory, if local */

/* How to register. NULL stands for PEERMR_OPTIONS_INIT. */
struct peermr_options {
    size_t struct_size;
    int access;                    /* enum ibv_access_flags; on-demand paging is added where the method needs it */
    enum peermr_fallback fallback; /* never for PEERMR_INVALID_ARGUMENT */
    uint32_t flags;                /* PEERMR_OPTION_*; unknown bits are an error */
    uint32_t reserved;             /* 0 */
    uint64_t io_address;           /* the device's address of the first byte; for dma-bufs only, and congruent to the
                                      offset modulo the page size. Else the offset, or the mapping's address. */
    const char *provider_bdf;      /* of a dma-buf that is given by descriptor: the function whose memory it is, so that
                                      the route is evaluated; of a BAR that is mapped through vfio: which of the open
                                      devices it is of; NULL: not known */
};
/* 1 is IBV_ACCESS_LOCAL_WRITE. */
#define PEERMR_OPTIONS_INIT {sizeof(struct peermr_options), 1, PEERMR_FALLBACK_REFUSE, 0, 0, 0, NULL}

struct peermr_region; /* memory, and its region on an RDMA device */

/*
 * Registers p2pmem with the method that works: on-demand paging, as p2pmem cannot be pinned for long.
 *
 * pd: the application's; keep it open until the region is gone. memory: stays the caller's, and cannot be freed before
 * the region is gone. options: NULL for the defaults. out: the region, to be ended by peermr_deregister().
 * Fails with PEERMR_NOT_SUPPORTED (no on-demand paging; EFAULT of ibv_reg_mr), PEERMR_UNSAFE_HERE (the kernel maps peer
 * memory without a check, and the library's finds the pair unsafe), PEERMR_RESOURCE_LIMIT, PEERMR_NOT_PERMITTED,
 * PEERMR_INVALID_ARGUMENT (EINVAL: remote write or atomics without local write).
 */
peermr_status peermr_register_p2pmem(struct ibv_pd *pd, struct peermr_p2pmem *memory,
                                     const struct peermr_options *options, struct peermr_region **out);

/*
 * Registers a part of a dma-buf (of vfio-pci, a GPU, udmabuf, a dma-heap...).
 *
 * fd: stays the caller's, and may be closed when this returns; the library holds a duplicate as long as the region.
 * offset, length: the part, in bytes. Where it does not begin or end on a page the device maps whole pages, and
 * peermr_region_info() says what the keys open as well.
 * Fails with PEERMR_NOT_SUPPORTED (EOPNOTSUPP, EINVAL, EREMOTEIO: the device, the exporter or the route between them
 * does not support it), PEERMR_INVALID_ARGUMENT (EBADF, no dma-buf, a part outside it, a wrong I/O address,
 * IBV_ACCESS_ON_DEMAND, writing to a descriptor open for reading), PEERMR_PEER_LOST (ENODEV: the exporter has revoked
 * the memory), PEERMR_RESOURCE_LIMIT (ENOMEM, EMFILE). Otherwise as above.
 */
peermr_status peermr_register_dmabuf(struct ibv_pd *pd, int fd, uint64_t offset, uint64_t length,
                                     const struct peermr_options *options, struct peermr_region **out);

/*
 * Registers memory of this process by its address: host memory, or a mapping that the process made of p2pmem
 * (/sys/bus/pci/devices/BDF/p2pmem/allocate), of a dma-buf, or of a BAR of a vfio device that it drives itself, which
 * are recognized and registered as such. A BAR is exported by the device's descriptor, which has to be open (Linux
 * 6.19).
 *
 * The memory stays the caller's; keep it mapped until the region is gone. Devices use its address, for a dma-buf too.
 * Reads /proc/self/maps, which takes some 50 microseconds, and more with thousands of mappings. Fails as the two above
 * do, and with PEERMR_INVALID_ARGUMENT for a range that is empty, wraps around, has holes, or is of several objects;
 * PEERMR_NOT_FOUND for a dma-buf or a vfio device without an open descriptor; PEERMR_NOT_SUPPORTED for a private
 * mapping, for a BAR that may be of several devices (name one in provider_bdf), and for a vfio region that is no BAR.
 */
peermr_status peermr_register_address(struct ibv_pd *pd, void *address, uint64_t length,
                                      const struct peermr_options *options, struct peermr_region **out);

/*
 * The plain ibv_mr: keys for work requests. It belongs to the region: do not deregister it, and do not use its addr
 * member, which for a dma-buf is no address; see io_address of peermr_region_info().
 * NULL, with the failure recorded, for an invalid handle.
 */
struct ibv_mr *peermr_region_mr(const struct peermr_region *region);

/* What memory a region is over, and how it was registered: by ibv_reg_mr, the same on demand, or ibv_reg_dmabuf_mr.
 * And whose it is: a driver may hand out the host's as a dma-buf of its device's, which is then not peer-to-peer. */
enum peermr_kind { PEERMR_KIND_HOST = 1, PEERMR_KIND_P2PMEM = 2, PEERMR_KIND_DMABUF = 3 };
enum peermr_owner { PEERMR_OWNER_UNKNOWN = 0, PEERMR_OWNER_HOST = 1, PEERMR_OWNER_PEER = 2 };
enum peermr_method { PEERMR_METHOD_PINNED = 1, PEERMR_METHOD_ON_DEMAND = 2, PEERMR_METHOD_DMABUF = 3 };

/* What is known about a region. */
struct peermr_region_info {
    size_t struct_size;
    enum peermr_kind kind;
    enum peermr_method method;
    uint32_t lkey;
    uint32_t rkey;
    uint64_t io_address;           /* the device's address of the first byte: for work requests, and for peers */
    uint64_t length;               /* in bytes */
    void *address;                 /* where the CPU finds it; NULL for a dma-buf that was given by descriptor */
    uint64_t alignment;            /* what addresses in work requests must be a multiple of; 1: any. Soft-RoCE's
                                      on-demand paging silently corrupts data outside this and the next member */
    uint32_t path_mtu;             /* the only path MTU at which transfers are right, in bytes; 0: any */
    uint32_t bounced;              /* 1 where host memory replaces what was asked for */
    uint64_t slack_before;         /* bytes before and after the part of a dma-buf that the keys open too */
    uint64_t slack_after;
    uint64_t nanoseconds;          /* how long the registration took */
    const char *provider_bdf;      /* the PCI function whose memory it is; empty for the host's, or not known */
    const char *reason;            /* why this method */
    const char *bounce_reason;     /* why it was bounced */
    enum peermr_owner owner;       /* whose memory it is, as far as that is known */
};
#define PEERMR_REGION_INFO_INIT \
    {sizeof(struct peermr_region_info), (enum peermr_kind)0, (enum peermr_method)0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, \
     0, NULL, NULL, NULL, PEERMR_OWNER_UNKNOWN}

/* Describes a region. Its texts are valid until the region is gone. */
peermr_status peermr_region_info(const struct peermr_region *region, struct peermr_region_info *out);

/* The name of a method, as the peermr tool prints it, such as "onDemand"; "?" for other values. Static text. */
const char *peermr_method_name(enum peermr_method method);

/*
 * Hands the ibv_mr to the caller, who deregisters it by ibv_dereg_mr(); the region is gone.
 *
 * PEERMR_NOT_SUPPORTED, and nothing changes, where the memory is the library's: that of peermr_p2pmem_allocate() and of
 * a bounce. PEERMR_BUSY while another thread's call uses the region. PEERMR_INVALID_ARGUMENT for an invalid handle.
 */
peermr_status peermr_region_detach(struct peermr_region *region, struct ibv_mr **out);

/* The outcome of a proof. */
enum peermr_proof_state {
    PEERMR_PROOF_UNKNOWN = 0,      /* the NIC read back what it wrote; the memory's owner has no access to compare */
    PEERMR_PROOF_PROVEN = 1,       /* bytes went both ways, as far as the access allows, and were the same */
    PEERMR_PROOF_DISPROVEN = 2,    /* bytes did not arrive, or others did: do not use the region */
    PEERMR_PROOF_NOT_TESTED = 3    /* the access, or the owner, allows nothing that could prove it */
};

/* The result of moving data through a region. */
struct peermr_proof {
    size_t struct_size;
    enum peermr_proof_state state;
    enum peermr_proof_state into_memory;   /* what the NIC wrote, seen by the memory's owner */
    enum peermr_proof_state out_of_memory; /* what the owner wrote, read by the NIC */
    int64_t first_difference;              /* offset of the first wrong byte in the region; -1: none was found */
    uint64_t length;                       /* how many bytes were compared */
    uint64_t nanoseconds;                  /* how long it took */
    const char *reason;
    enum peermr_owner owner;               /* whose memory it is, as in peermr_region_info */
};
#define PEERMR_PROOF_INIT \
    {sizeof(struct peermr_proof), PEERMR_PROOF_UNKNOWN, PEERMR_PROOF_UNKNOWN, PEERMR_PROOF_UNKNOWN, 0, 0, 0, NULL, \
     PEERMR_OWNER_UNKNOWN}

/*
 * Moves random bytes through the region and compares them on the memory's own side, both ways: a registration that
 * succeeds does not show where the bytes go. It needs no peer, but the port must be up. The old contents are restored;
 * nothing else may use these bytes meanwhile.
 *
 * length: how many bytes at the region's beginning and once more at its end; 0 for 64 KiB, at most 16 MiB.
 * timeout_milliseconds: the longest wait for one of some ten transfers; 0 for 10000.
 * out: the proof. Disproven is a result, not a failure. Its text is valid as that of peermr_route() is.
 * Fails with PEERMR_PEER_LOST (the memory was revoked, or the NIC does not answer in time), PEERMR_UNSAFE_HERE (a
 * path MTU at which a software device corrupts data), PEERMR_INVALID_ARGUMENT, and what ibv_create_qp() and 64 KiB of
 * host memory fail with.
 */
peermr_status peermr_prove(struct peermr_region *region, uint64_t length, uint32_t timeout_milliseconds,
                           struct peermr_proof *out);

/*
 * Deregisters a region, and releases memory of the library. Its handle is invalid afterwards.
 *
 * PEERMR_BUSY, and nothing changes, while another thread's call uses the region, or (EBUSY) a memory window is bound to
 * it. PEERMR_INVALID_ARGUMENT for NULL and an invalid handle.
 */
peermr_status peermr_deregister(struct peermr_region *region);

#ifdef __cplusplus
}
#endif

#endif
