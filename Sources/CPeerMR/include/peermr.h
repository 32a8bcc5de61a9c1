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
 * Handles. The structs that only the library lays out are opaque: numbers that are never reused, not addresses.
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

#ifdef __cplusplus
}
#endif

/* The rest of the interface, by subject. Programs include this header alone. */
#include "peermr/check.h"
#include "peermr/region.h"
#include "peermr/memory.h"
#include "peermr/bulk.h"
#include "peermr/cache.h"

#endif
