/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpeermr-preload.so: an LD_PRELOAD for programs that register peer memory with ibv_reg_mr, and fail.
 *
 * interpose.c stands in front of libibverbs' calls, standing.c takes a first look at the memory of those that fail,
 * instead.c has PeerMR register it, say.c explains.
 * The library needs nothing but the C library: libpeermr.so is loaded when the first registration of peer memory has
 * failed, so that programs that never meet any pay for one more function call, and no more.
 */
#ifndef PEERMR_PRELOAD_H
#define PEERMR_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

/* A registration that libibverbs has refused. */
struct refused {
    const char *call;   /* its C name */
    const void *caller; /* where it was called from */
    struct ibv_pd *pd;
    void *address;
    size_t length;
    uint64_t iova;
    int access;
    int error;          /* errno as the real call left it */
};

/* This thread is in a registration already: what is called meanwhile goes to libibverbs as it is. */
extern __thread int preload_depth __attribute__((tls_model("initial-exec")));

/* What stands in a range, by its names; of several the greatest. */
enum standing {
    STANDING_NOWHERE,   /* a part of it is not mapped */
    STANDING_HOST,
    STANDING_DEVICE,    /* a driver's file, perhaps: PeerMR has words for those */
    STANDING_PEER,      /* p2pmem, or a dma-buf */
};
enum standing preload_standing(const struct refused *refused);

/* The registration by PeerMR's way, which ibv_dereg_mr ends as any other; NULL where it is none, errno unspecified. */
struct ibv_mr *preload_instead(const struct refused *refused);

/* Tells people what happened to a registration, where PEERMR_VERBOSE is set. */
void preload_say(const struct refused *refused, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether an environment variable is set to something other than nothing and 0. */
bool preload_is_set(const char *name);

#endif
