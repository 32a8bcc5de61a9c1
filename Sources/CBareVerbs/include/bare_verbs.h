/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration as a C program does it, with a clock around each call: what PeerMR's registration is compared with.
 * Nothing here checks, remembers or explains anything.
 */
#ifndef PEERMR_BARE_VERBS_H
#define PEERMR_BARE_VERBS_H

#include <stdint.h>

/* CLOCK_MONOTONIC_RAW: no adjustment of the time of day stretches or shrinks it. In nanoseconds. */
uint64_t peermr_bench_nanoseconds(void);
/* What clock_getres(2) says of it; 0 where it says nothing. */
uint64_t peermr_bench_resolution(void);

enum peermr_bare_call {
    PEERMR_BARE_REG_MR,
    PEERMR_BARE_REG_DMABUF_MR,
    PEERMR_BARE_REG_DM_MR,
};

struct peermr_bare_memory {
    enum peermr_bare_call call;
    void *domain;           /* struct ibv_pd * */
    int access;
    uint64_t bytes;
    void *address;          /* of a mapping, or the struct ibv_dm * of a NIC's own memory */
    uint64_t offset;        /* in a dma-buf; its I/O address too */
    int descriptor;         /* of a dma-buf; closed by peermr_bare_sample, as PeerMR does */
};

/* Nanoseconds. */
struct peermr_bare_times {
    uint64_t registering;
    uint64_t closing;
    uint64_t deregistering;
};

/* Registers, closes the descriptor where there is one, and deregisters. 0, or the errno. */
int peermr_bare_sample(const struct peermr_bare_memory *memory, struct peermr_bare_times *times);

#endif
