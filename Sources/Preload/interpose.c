/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that programs make: ibv_reg_mr, and what verbs.h turns it into where the access flags are no constants
 * (ibv_reg_mr_iova2), with their two relatives. Each asks libibverbs first, and gives what that gives. Three more calls
 * tell the watch when regions and queue pairs come and go.
 *
 * exports.map gives them the versions that libibverbs has them by, so that programs linked against it find these. The
 * call of version IBVERBS_1.0, from before 2007, takes other structs and is left alone.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>

#include "watch.h"

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

#define EXPORTED __attribute__((visibility("default")))

__thread int preload_depth __attribute__((tls_model("initial-exec")));

/* As ibv_reg_mr_ex(3) of rdma-core 59 describes it, for headers that are older. */
struct mr_attributes {
    size_t length;
    int access;
    uint64_t comp_mask;
    uint64_t iova;
    void *addr;
    int fd;
    uint64_t fd_offset;
    void *dmah;
    void *buf;
};
enum { HAS_IOVA = 1 << 0, HAS_ADDRESS = 1 << 1 };

typedef struct ibv_mr *reg_mr(struct ibv_pd *, void *, size_t, int);
typedef struct ibv_mr *reg_mr_iova(struct ibv_pd *, void *, size_t, uint64_t, int);
typedef struct ibv_mr *reg_mr_ex(struct ibv_pd *, struct mr_attributes *);

EXPORTED struct ibv_mr *ibv_reg_mr_ex(struct ibv_pd *pd, struct mr_attributes *attributes);

/* The same call of libibverbs, for the object that calls and an object of the device. */
#define NEXT(name, version, object) \
    preload_next(name, version, __builtin_return_address(0), (object) ? (object)->context : NULL)

/*
 * The result of a call: the region of libibverbs, else PeerMR's, else NULL and the errno of libibverbs. Success leaves
 * errno unchanged.
 */
static struct ibv_mr *resolve(struct ibv_mr *region, int before, struct refused *refused)
{
    if (!region && preload_depth == 0) {
        refused->error = errno;
        preload_depth++;
        region = preload_fallback(refused);
        preload_depth--;
        errno = region ? before : refused->error;
    }
    return region;
}

EXPORTED struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    int before = errno;
    reg_mr *call = (reg_mr *)NEXT("ibv_reg_mr", "IBVERBS_1.1", pd);
    struct refused refused = {
        .call = "ibv_reg_mr", .caller = __builtin_return_address(0), .pd = pd, .address = address, .length = length,
        .iova = (uintptr_t)address, .access = access,
    };
    if (!call) {
        errno = EOPNOTSUPP;
        return NULL;
    }
    preload_depth++;
    struct ibv_mr *region = call(pd, address, length, access);
    preload_depth--;
    return resolve(region, before, &refused);
}

static struct ibv_mr *reg_mr_with_iova(reg_mr_iova *call, struct refused *refused, int before)
{
    if (!call) {
        errno = EOPNOTSUPP;
        return NULL;
    }
    preload_depth++;
    struct ibv_mr *region = call(refused->pd, refused->address, refused->length, refused->iova, refused->access);
    preload_depth--;
    return resolve(region, before, refused);
}

EXPORTED struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, int access)
{
    int before = errno;
    struct refused refused = {
        .call = "ibv_reg_mr_iova", .caller = __builtin_return_address(0), .pd = pd, .address = address,
        .length = length, .iova = iova, .access = access,
    };
    return reg_mr_with_iova((reg_mr_iova *)NEXT("ibv_reg_mr_iova", "IBVERBS_1.7", pd), &refused, before);
}

EXPORTED struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length, uint64_t iova,
                                         unsigned int access)
{
    int before = errno;
    struct refused refused = {
        .call = "ibv_reg_mr_iova2", .caller = __builtin_return_address(0), .pd = pd, .address = address,
        .length = length, .iova = iova, .access = (int)access,
    };
    return reg_mr_with_iova((reg_mr_iova *)NEXT("ibv_reg_mr_iova2", "IBVERBS_1.8", pd), &refused, before);
}

/* The newest call. Registrations by descriptor, or with hints, are left to libibverbs. */
EXPORTED struct ibv_mr *ibv_reg_mr_ex(struct ibv_pd *pd, struct mr_attributes *attributes)
{
    int before = errno;
    reg_mr_ex *call = (reg_mr_ex *)NEXT("ibv_reg_mr_ex", "IBVERBS_1.15", pd);
    if (!call) {
        errno = EOPNOTSUPP;
        return NULL;
    }
    preload_depth++;
    struct ibv_mr *region = call(pd, attributes);
    preload_depth--;
    if (region || (attributes->comp_mask | HAS_IOVA) != (HAS_IOVA | HAS_ADDRESS))
        return region;
    struct refused refused = {
        .call = "ibv_reg_mr_ex", .caller = __builtin_return_address(0), .pd = pd, .address = attributes->addr,
        .length = attributes->length, .access = attributes->access,
        .iova = attributes->comp_mask & HAS_IOVA ? attributes->iova : (uintptr_t)attributes->addr,
    };
    return resolve(NULL, before, &refused);
}

EXPORTED int ibv_dereg_mr(struct ibv_mr *region)
{
    int (*call)(struct ibv_mr *) = (int (*)(struct ibv_mr *))NEXT("ibv_dereg_mr", "IBVERBS_1.1", region);
    if (!call)
        return EOPNOTSUPP;
    /* Before the call: after it the key may be another region's. */
    struct guarded *guarded = watch_forget(region);
    int error = call(region);
    if (guarded && error)
        watch_restore(guarded);
    else if (guarded)
        watch_discard(guarded);
    return error;
}

EXPORTED int ibv_modify_qp(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask)
{
    typedef int modify(struct ibv_qp *, struct ibv_qp_attr *, int);
    const void *caller = __builtin_return_address(0);
    modify *call = (modify *)NEXT("ibv_modify_qp", "IBVERBS_1.1", pair);
    if (!call)
        return EOPNOTSUPP;
    if (!watch_admits(pair, attributes, mask, caller)) {
        errno = EINVAL;
        return EINVAL;
    }
    int error = call(pair, attributes, mask);
    if (error == 0)
        watch_modified(pair, attributes, mask, caller);
    return error;
}

EXPORTED int ibv_destroy_qp(struct ibv_qp *pair)
{
    int (*call)(struct ibv_qp *) = (int (*)(struct ibv_qp *))NEXT("ibv_destroy_qp", "IBVERBS_1.1", pair);
    return call ? watch_destroy(pair, call) : EOPNOTSUPP;
}
