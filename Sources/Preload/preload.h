/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpeermr-preload.so: an LD_PRELOAD for programs that register peer memory with ibv_reg_mr, and fail.
 *
 * interpose.c replaces the calls of libibverbs, next.c finds the program's own, maps.c classifies the memory of those
 * that fail by /proc/self/maps, fallback.c registers it through PeerMR, log.c prints what happened, and the files of
 * watch.h watch over regions with which not every transfer is right.
 * The library needs nothing but the C library: libpeermr.so is loaded when the first registration of peer memory has
 * failed, so that programs that never meet any pay for one more function call, and no more.
 */
#ifndef PEERMR_PRELOAD_H
#define PEERMR_PRELOAD_H

#include <stdatomic.h>
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

/* This thread is in a registration already: nested calls go to libibverbs unchanged. */
extern __thread int preload_depth __attribute__((tls_model("initial-exec")));

/* What a range maps, by the names in /proc/self/maps; of several the greatest. */
enum mapping {
    MAPPING_NONE,   /* a part of it is not mapped */
    MAPPING_HOST,
    MAPPING_DEVICE,    /* perhaps the file of a driver, which PeerMR can explain */
    MAPPING_PEER,      /* p2pmem, a dma-buf, or a BAR by vfio */
};
enum mapping preload_classify(const struct refused *refused);

/* Registers through PeerMR; ibv_dereg_mr ends the region as any other. NULL on failure, errno unspecified. */
struct ibv_mr *preload_fallback(const struct refused *refused);

/* Prints what happened to a registration if PEERMR_VERBOSE is set. */
void preload_log(const struct refused *refused, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints what is so for all registrations of the process, if PEERMR_VERBOSE is set and it was not said before. */
void preload_log_once(atomic_flag *is_said, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints a line on standard error, whatever PEERMR_VERBOSE is. */
void preload_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The call of libibverbs that the program would have come to, for a caller and a device's context (NULL: any); NULL
 * where there is none. Names are compared by their address.
 */
void *preload_next(const char *name, const char *version, const void *caller, struct ibv_context *context);

/* For fork: nobody looks calls up while a process is copied. */
void preload_hold_places(void);
void preload_release_places(void);

/* Whether an environment variable is set, and neither empty nor 0. */
bool preload_is_set(const char *name);

#endif
