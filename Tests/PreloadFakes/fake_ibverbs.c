/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libibverbs.so.1 for the tests of the preload library: registration works, or fails with the errno in FAKE_ERRNO.
 * As in the real one, a call may go through another of its own by its public name.
 */
#include <infiniband/verbs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

struct mr_attributes {
    size_t length;
    int access;
    uint64_t comp_mask, iova;
    void *addr;
};

/* How often each was called: 0 ibv_reg_mr, 1 with iova, 2 iova2, 3 ex, 4 ibv_dereg_mr, 5 the ibv_reg_mr of
 * 2006, 6 ibv_query_qp. */
static _Atomic unsigned counts[7];

/* With FAKE_KEYS every region has a key of its own. */
static _Atomic unsigned keys = 0x100;

unsigned fake_ibverbs_count(unsigned which)
{
    return counts[which];
}

static struct ibv_mr *made(struct ibv_pd *pd, void *address, size_t length, int access)
{
    /* With this access the fake of libpeermr registers: it always works. */
    const char *error = access == 0x5a ? NULL : getenv("FAKE_ERRNO");
    if (error) {
        errno = atoi(error);
        return NULL;
    }
    struct ibv_mr *region = calloc(1, sizeof(*region));
    *region = (struct ibv_mr){.context = pd->context, .pd = pd, .addr = address, .length = length, .lkey = 7};
    if (getenv("FAKE_KEYS"))
        region->lkey = region->rkey = ++keys;
    return region;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, unsigned int access)
{
    (void)iova;
    counts[2]++;
    return made(pd, address, length, (int)access);
}

struct ibv_mr *new_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    counts[0]++;
    return ibv_reg_mr_iova2(pd, address, length, (uintptr_t)address, (unsigned)access);
}
__asm__(".symver new_reg_mr, ibv_reg_mr@@IBVERBS_1.1");

struct ibv_mr *old_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    counts[5]++;
    return made(pd, address, length, access);
}
__asm__(".symver old_reg_mr, ibv_reg_mr@IBVERBS_1.0");

struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, int access)
{
    (void)iova;
    counts[1]++;
    return made(pd, address, length, access);
}

struct ibv_mr *ibv_reg_mr_ex(struct ibv_pd *pd, struct mr_attributes *attributes)
{
    counts[3]++;
    return made(pd, attributes->addr, attributes->length, attributes->access);
}

int ibv_dereg_mr(struct ibv_mr *region)
{
    counts[4]++;
    if (getenv("FAKE_BUSY"))
        return EBUSY;
    free(region);
    return 0;
}

/* Queue pairs are the program's; their path MTU is kept in a field that is not used otherwise. */
int ibv_modify_qp(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask)
{
    if (mask & IBV_QP_PATH_MTU)
        pair->events_completed = (unsigned)attributes->path_mtu;
    return 0;
}

int ibv_query_qp(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask, struct ibv_qp_init_attr *init)
{
    (void)mask;
    (void)init;
    counts[6]++;
    attributes->qp_state = IBV_QPS_RTS;
    attributes->path_mtu = (enum ibv_mtu)pair->events_completed;
    return 0;
}

int ibv_destroy_qp(struct ibv_qp *pair)
{
    (void)pair;
    return 0;
}

/* Those whose type the program has marked so are extended. */
struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *pair)
{
    return pair->srq ? (struct ibv_qp_ex *)pair : NULL;
}
