/* SPDX-License-Identifier: Apache-2.0 */
#include "bare_verbs.h"

#include <errno.h>
#include <infiniband/verbs.h>
#include <time.h>
#include <unistd.h>

/* verbs.h puts a macro over the function, which takes another way for flags that it cannot see through. */
#undef ibv_reg_mr

uint64_t peermr_bench_nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t peermr_bench_resolution(void)
{
    struct timespec time;
    if (clock_getres(CLOCK_MONOTONIC_RAW, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static struct ibv_mr *make(const struct peermr_bare_memory *memory)
{
    struct ibv_pd *domain = memory->domain;
    switch (memory->call) {
    case PEERMR_BARE_REG_MR:
        return ibv_reg_mr(domain, memory->address, memory->bytes, memory->access);
    case PEERMR_BARE_REG_DMABUF_MR:
        return ibv_reg_dmabuf_mr(domain, memory->offset, memory->bytes, memory->offset, memory->descriptor,
                                 memory->access);
    case PEERMR_BARE_REG_DM_MR:
        return ibv_reg_dm_mr(domain, memory->address, 0, memory->bytes,
                             (unsigned)memory->access | IBV_ACCESS_ZERO_BASED);
    }
    errno = EINVAL;
    return NULL;
}

int peermr_bare_sample(const struct peermr_bare_memory *memory, struct peermr_bare_times *times)
{
    uint64_t start = peermr_bench_nanoseconds();
    struct ibv_mr *region = make(memory);
    uint64_t end = peermr_bench_nanoseconds();
    int error = region ? 0 : errno;
    times->registering = end - start;
    times->closing = 0;
    if (memory->call == PEERMR_BARE_REG_DMABUF_MR) {
        start = peermr_bench_nanoseconds();
        close(memory->descriptor);
        end = peermr_bench_nanoseconds();
        times->closing = end - start;
    }
    if (!region)
        return error;
    start = peermr_bench_nanoseconds();
    error = ibv_dereg_mr(region);
    end = peermr_bench_nanoseconds();
    times->deregistering = end - start;
    return error;
}
