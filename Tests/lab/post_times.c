/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: tells when a program posts its sends, so that two programs are measured by one clock in one way.
 * The times from one send to the next, without the first $POST_SKIP, go to standard error when the program ends:
 *
 *     post-times COUNT MIN P50 P99 nanoseconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LIMIT = 1 << 20 };

static uint64_t times[LIMIT];
static unsigned count;
static int (*post)(struct ibv_qp *, struct ibv_send_wr *, struct ibv_send_wr **);

static int post_and_note(struct ibv_qp *pair, struct ibv_send_wr *request, struct ibv_send_wr **bad)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (count < LIMIT)
        times[count++] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return post(pair, request, bad);
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *domain, struct ibv_qp_init_attr *attributes)
{
    struct ibv_qp *(*create)(struct ibv_pd *, struct ibv_qp_init_attr *) = dlsym(RTLD_NEXT, "ibv_create_qp");
    struct ibv_qp *made = create ? create(domain, attributes) : NULL;
    if (made && made->context->ops.post_send != post_and_note) {
        post = made->context->ops.post_send;
        made->context->ops.post_send = post_and_note;
    }
    return made;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

__attribute__((destructor)) static void tell(void)
{
    const char *skipped = getenv("POST_SKIP");
    unsigned first = skipped ? (unsigned)atoi(skipped) : 0;
    if (count < first + 2)
        return;
    unsigned number = count - first - 1;
    for (unsigned i = 0; i < number; i++)
        times[i] = times[first + i + 1] - times[first + i];
    qsort(times, number, sizeof(times[0]), by_size);
    fprintf(stderr, "post-times %u %llu %llu %llu\n", number, (unsigned long long)times[0],
            (unsigned long long)times[number / 2], (unsigned long long)times[(uint64_t)number * 99 / 100]);
}
