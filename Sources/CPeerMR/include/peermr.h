/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peermr.h: other PCI devices' memory for RDMA applications. The C interface of PeerMR, for C99 and C++11.
 *
 * It takes the ibv_context and ibv_pd of the application, checks in the kernel's own terms whether the NIC can reach
 * the memory, registers it with the method that works, and returns a plain ibv_mr for plain verbs:
 *
 *     struct peermr_p2pmem *memory;
 *     struct peermr_region *region;
 *     if (peermr_p2pmem_allocate("0000:01:00.0", 2 << 20, &memory) != PEERMR_OK
 *         || peermr_register_p2pmem(pd, memory, NULL, &region) != PEERMR_OK) {
 *         struct peermr_error error = PEERMR_ERROR_INIT;
 *         peermr_last_error(&error);
 *         fprintf(stderr, "%s\n", error.message);
 *     }
 *     struct ibv_mr *mr = peermr_region_mr(region);       for work requests, with io_address of peermr_region_info()
 *
 * Link with -lpeermr -libverbs, or ask pkg-config for peermr.
 *
 * Errors. A function that can fail returns a peermr_status. peermr_last_error() has the details of this thread's last
 * failure: errno, reason, remedy. A function that fails sets what its out-parameter points to to NULL or 0 (past
 * struct_size, which stays; a struct with a wrong one is left unchanged). The library prints nothing.
 *
 * Threads. Every function may be called from any thread at any time, also with the same ibv_pd. Several threads may use
 * one object; a free during another thread's call gives PEERMR_BUSY and changes nothing, and a call during the free
 * gives PEERMR_BUSY or finds no such object. After fork(2) a child must not use the library, nor libibverbs.
 *
 * Handles. peermr_capability, peermr_p2pmem and peermr_region are opaque: numbers that are never reused, not addresses.
 * One that has been freed, is of another kind, or never was valid gives PEERMR_INVALID_ARGUMENT.
 *
 * The library cannot check these rules, which the caller must keep: an ibv_context or ibv_pd is NULL or an open one of
 * libibverbs, and stays open while a region of it lives; text ends with a 0 byte; out-parameters are NULL (an error) or
 * writable for struct_size bytes; memory registered by address stays mapped until the region is gone; no ibv_mr is used
 * after its region has been deregistered, nor deregistered by ibv_dereg_mr() unless it was detached.
 *
 * Sizes are bytes. Text is UTF-8. Texts of the library are never NULL, and empty where there is nothing to say.
 */
#ifndef PEERMR_H
#define PEERMR_H

#include <stddef.h>
#include <stdint.h>

#define PEERMR_VERSION_MAJOR 0
#define PEERMR_VERSION_MINOR 1
#define PEERMR_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

struct ibv_context; /* of <infiniband/verbs.h>, which the application includes itself */
struct ibv_pd;
struct ibv_mr;

/* The result of a call. Values keep their meaning; later versions may add some, so have a default. */
typedef enum peermr_status {
    PEERMR_OK = 0,
    PEERMR_NOT_FOUND = 1,          /* the device, pool or address does not exist here */
    PEERMR_NOT_SUPPORTED = 2,      /* a driver, kernel, library or device lacks what was asked for */
    PEERMR_UNSAFE_HERE = 3,        /* it would move data wrongly or unsafely in this configuration */
    PEERMR_INVALID_ARGUMENT = 4,   /* a value is malformed, or outside what the object allows */
    PEERMR_RESOURCE_LIMIT = 5,     /* memory, a limit such as RLIMIT_MEMLOCK, or a pool is exhausted */
    PEERMR_BUSY = 6,               /* it is in use */
    PEERMR_NOT_PERMITTED = 7,      /* this process lacks the permission */
    PEERMR_REFUSED = 8,            /* the other side said no */
    PEERMR_PROTOCOL_VIOLATION = 9, /* the other side violates the protocol */
    PEERMR_PEER_LOST = 10,         /* the other side, the link, the device or its memory is gone */
    PEERMR_DATA_MISMATCH = 11,     /* data differs from what was sent */
    PEERMR_SYSTEM = 12             /* any other failure of the system */
} peermr_status;

/*
 * The last failure of a thread. As in all structs here, the caller sets struct_size to the size that it was compiled
 * with, which the INIT macros do; the library fills no more than that, and zeroes members that it does not know. A
 * struct_size below that of version 0.1, or above 4096, is PEERMR_INVALID_ARGUMENT.
 */
struct peermr_error {
    size_t struct_size;
    peermr_status status;          /* PEERMR_OK where nothing has failed in this thread */
    int error_number;              /* errno as the failed system or verbs call left it; 0 where none failed */
    const char *call;              /* that call's C name, such as "ibv_reg_mr" */
    const char *reason;            /* what happened, with the facts in it; no full stop */
    const char *remedy;            /* what to do about it, as an instruction or a command */
    const char *message;           /* all of it in one line, to be printed */
};
#define PEERMR_ERROR_INIT {sizeof(struct peermr_error), PEERMR_OK, 0, NULL, NULL, NULL, NULL}

/*
 * Gives the calling thread's last failure. Calls that succeed do not change it, as with errno.
 *
 * The texts belong to the library, and are valid until this thread's next call of another function that returns a
 * peermr_status. Its own failure (NULL, a wrong struct_size) gives PEERMR_INVALID_ARGUMENT and is not recorded.
 */
peermr_status peermr_last_error(struct peermr_error *out);

/* The version of the library that runs, such as "0.1.0". Static text. */
const char *peermr_version(void);

/* The name of a status as written above, such as "PEERMR_NOT_FOUND", or "PEERMR_?". Static text. */
const char *peermr_status_name(peermr_status status);

/* An answer is yes, no or unknown; an input that cannot be read makes it unknown, never yes. */
enum peermr_outcome { PEERMR_UNKNOWN = 0, PEERMR_YES = 1, PEERMR_NO = 2 };

/* The four questions, each of which has an answer of its own. */
enum peermr_question {
    PEERMR_QUESTION_API = 0,       /* do kernel, libraries and the NIC's driver have the calls? */
    PEERMR_QUESTION_EXPORTER = 1,  /* does the provider export its memory? */
    PEERMR_QUESTION_ROUTE = 2,     /* would the kernel let the NIC do DMA to the provider? */
    PEERMR_QUESTION_DATA = 3       /* did bytes arrive? Unknown until a region has been proven */
};

/* How the kernel would map the provider's memory for the client's DMA (enum pci_p2pdma_map_type). */
enum peermr_map_type {
    PEERMR_MAP_UNKNOWN = 0,
    PEERMR_MAP_BUS_ADDRESS = 1,    /* requests stay below the root complex */
    PEERMR_MAP_THROUGH_HOST_BRIDGE = 2,
    PEERMR_MAP_NOT_SUPPORTED = 3   /* the kernel refuses */
};

/* What led to a route, or prevents one. Later versions may add some: each has a name, too. */
enum peermr_finding_code {
    PEERMR_FINDING_OTHER = 0, PEERMR_FINDING_SAME_FUNCTION = 1, PEERMR_FINDING_COMMON_UPSTREAM = 2,
    PEERMR_FINDING_NO_PEER_TO_PEER = 3, PEERMR_FINDING_NO_COMMON_UPSTREAM = 4, PEERMR_FINDING_ACS_REDIRECT = 5,
    PEERMR_FINDING_CONFIG_UNREADABLE = 6, PEERMR_FINDING_CPU_ALLOWS = 7, PEERMR_FINDING_CPU_UNKNOWN = 8,
    PEERMR_FINDING_HOST_BRIDGE_LISTED = 9, PEERMR_FINDING_HOST_BRIDGE_NOT_LISTED = 10,
    PEERMR_FINDING_HOST_BRIDGE_UNKNOWN = 11, PEERMR_FINDING_SOFTWARE_DEVICE = 12, PEERMR_FINDING_NOT_PCI = 13,
    PEERMR_FINDING_COMPOSED = 14, PEERMR_FINDING_PATHS = 15, PEERMR_FINDING_PLACE_UNREADABLE = 16,
    PEERMR_FINDING_NO_SUCH_DEVICE = 17, PEERMR_FINDING_IS_BRIDGE = 18, PEERMR_FINDING_DEAD_DEVICE = 19,
    PEERMR_FINDING_IOMMU = 20, PEERMR_FINDING_NO_POOL = 21, PEERMR_FINDING_EXPORTER_DOES_NOT_ASK = 22,
    PEERMR_FINDING_EXPORTER_USES_HOST_MEMORY = 23, PEERMR_FINDING_EXPORTER_UNKNOWN = 24,
    PEERMR_FINDING_DATA_DIRECT = 25, PEERMR_FINDING_DATA_DIRECT_UNKNOWN = 26
};

struct peermr_answer {
    size_t struct_size;
    enum peermr_outcome outcome;
    const char *reason;
    const char *remedy;            /* what changes it; empty where nothing does or needs to */
};
#define PEERMR_ANSWER_INIT {sizeof(struct peermr_answer), PEERMR_UNKNOWN, NULL, NULL}

struct peermr_finding {
    size_t struct_size;
    enum peermr_finding_code code;
    const char *name;              /* the code as peermr check prints it, such as "acsRedirect" */
    const char *device;            /* the address or name that it is about */
    const char *detail;
    const char *remedy;
};
#define PEERMR_FINDING_INIT {sizeof(struct peermr_finding), PEERMR_FINDING_OTHER, NULL, NULL, NULL, NULL}

struct peermr_route_result {
    size_t struct_size;
    enum peermr_outcome outcome;   /* whether the kernel would allow DMA at all */
    enum peermr_map_type map_type; /* may be unknown where the outcome is certain */
    int32_t distance;              /* steps as the kernel counts them; negative where there is no route */
    const char *reason;
    const char *remedy;
};
#define PEERMR_ROUTE_RESULT_INIT \
    {sizeof(struct peermr_route_result), PEERMR_UNKNOWN, PEERMR_MAP_UNKNOWN, 0, NULL, NULL}

struct peermr_capability; /* the four answers for a NIC and a provider */

/*
 * Answers the four questions for an open RDMA device and the memory of a PCI function. A no is no failure.
 *
 * provider_bdf: the function whose memory it is, as lspci -D writes it ("0000:01:00.0"; "01:00.0" is in domain 0).
 * out: the answers, to be freed by peermr_capability_free(). They hold for this moment: devices are added and removed.
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, a malformed address), PEERMR_NOT_FOUND (there is no such function).
 * Reads sysfs: some milliseconds. Root sees more: other users cannot read the configuration space of functions.
 */
peermr_status peermr_check(struct ibv_context *context, const char *provider_bdf, struct peermr_capability **out);

/* Gives one of the four answers. Its texts are valid until the capability is freed. */
peermr_status peermr_capability_answer(const struct peermr_capability *capability, enum peermr_question question,
                                       struct peermr_answer *out);

/* Gives the route that the third answer is about. Its texts are valid until the capability is freed. */
peermr_status peermr_capability_route(const struct peermr_capability *capability, struct peermr_route_result *out);

/* How many findings led to the route; 0, with the failure recorded, for an invalid handle. */
uint64_t peermr_capability_finding_count(const struct peermr_capability *capability);

/* Gives a finding, from 0 on, in the order in which the kernel looks. Texts are valid until the capability is freed. */
peermr_status peermr_capability_finding(const struct peermr_capability *capability, uint64_t index,
                                        struct peermr_finding *out);

/* Frees the answers. NULL and an invalid handle give PEERMR_INVALID_ARGUMENT. */
peermr_status peermr_capability_free(struct peermr_capability *capability);

/*
 * Works out the route between two PCI functions, without an RDMA device. The texts are valid until this thread's next
 * call of a function that returns a peermr_status, other than peermr_last_error().
 *
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, a malformed address), PEERMR_NOT_FOUND (there is no such function).
 */
peermr_status peermr_route(const char *client_bdf, const char *provider_bdf, struct peermr_route_result *out);

/* The names of values, as the peermr tool prints them: "yes", "busAddress"; "?" for other values. Static text. */
const char *peermr_outcome_name(enum peermr_outcome outcome);
const char *peermr_map_type_name(enum peermr_map_type map_type);

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
                                      the route is evaluated; NULL: not known */
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
 * (/sys/bus/pci/devices/BDF/p2pmem/allocate) or of a dma-buf, which are recognized and registered as such.
 *
 * The memory stays the caller's; keep it mapped until the region is gone. Devices use its address, for a dma-buf too.
 * Reads /proc/self/maps, which takes some 50 microseconds, and more with thousands of mappings. Fails as the two above
 * do, and with PEERMR_INVALID_ARGUMENT for a range that is empty, wraps around, has holes, or is of several objects;
 * PEERMR_NOT_FOUND for a dma-buf without an open descriptor; PEERMR_NOT_SUPPORTED for a private mapping.
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
