/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 64

static struct {
    void *fake;
    struct machine *machine;
    int buffer;
    struct peermr_region *shared;
    pthread_barrier_t barrier;
    int freed;
} common;

/* Half over the domain that all share, half over one of the thread's own device handle; what fails is the thread's. */
static void *registering(void *number)
{
    fake_verbs_join(common.fake);
    struct machine own = machine_open();
    struct peermr_region *before = NULL;
    pthread_barrier_wait(&common.barrier);
    for (int round = 0; round < ROUNDS; round++) {
        struct ibv_pd *pd = round % 2 ? own.pd : common.machine->pd;
        struct peermr_region *region = NULL;
        if (round % 4 < 2)
            WORKS(peermr_register_address(pd, own.bytes, 4096, NULL, &region));
        else
            WORKS(peermr_register_dmabuf(pd, common.buffer, 4096, 4096, NULL, &region));
        struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
        WORKS(peermr_region_info(region, &info));
        CHECK(peermr_region_mr(region)->lkey == info.lkey && info.reason[0]);
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(pd, own.bytes, (uintptr_t)number + (UINT64_C(1) << 63),
                                                               NULL, &(struct peermr_region *){NULL}));
        char mine[32];
        snprintf(mine, sizeof(mine), "%llu bytes", (unsigned long long)((uintptr_t)number + (UINT64_C(1) << 63)));
        CHECK(says(mine));
        if (before)
            WORKS(peermr_deregister(before));
        before = region;
    }
    WORKS(peermr_deregister(before));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister(before));
    machine_close(&own);
    fake_verbs_join(NULL);
    return NULL;
}

void threads_register(void)
{
    int node = fake_verbs_memory_file();
    fake_verbs_set_command_file(node);
    struct machine machine = machine_open();
    common.fake = fake_verbs_share();
    common.machine = &machine;
    common.buffer = buffer_open(65536);
    threads_run(&common.barrier, registering);
    close(common.buffer);
    close(node);
    machine_close(&machine);
}

/* All use one region at once, then all end it: one succeeds, and the others are told. */
static void *sharing(void *number)
{
    (void)number;
    fake_verbs_join(common.fake);
    for (int round = 0; round < ROUNDS; round++) {
        if (pthread_barrier_wait(&common.barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            WORKS(peermr_register_address(common.machine->pd, common.machine->bytes, 4096, NULL, &common.shared));
            common.freed = 0;
        }
        pthread_barrier_wait(&common.barrier);
        struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
        WORKS(peermr_region_info(common.shared, &info));
        pthread_barrier_wait(&common.barrier);
        peermr_status status = peermr_deregister(common.shared);
        CHECK(status == PEERMR_OK || status == PEERMR_INVALID_ARGUMENT || status == PEERMR_BUSY);
        if (status == PEERMR_OK)
            __atomic_fetch_add(&common.freed, 1, __ATOMIC_RELAXED);
        pthread_barrier_wait(&common.barrier);
        CHECK(__atomic_load_n(&common.freed, __ATOMIC_RELAXED) == 1);
    }
    fake_verbs_join(NULL);
    return NULL;
}

void threads_share_a_handle(void)
{
    struct machine machine = machine_open();
    common.fake = fake_verbs_share();
    common.machine = &machine;
    threads_run(&common.barrier, sharing);
    machine_close(&machine);
}
