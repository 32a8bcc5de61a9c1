/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls ibv_wr_*: they are pointers in the extended queue pair, which build requests between ibv_wr_start and
 * ibv_wr_complete. A wrong one is remembered, and the whole batch then fails, as ibv_wr_post(3) has it for errors.
 */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <stdlib.h>

enum { LARGEST_PACKET = 4096 };

/* The provider's calls, and what is being built: by one thread at a time, from start to complete. */
struct extended {
    struct ibv_qp_ex own;
    bool is_refused;        /* the batch */
    bool is_seen, is_wrong; /* the request */
    bool has_remote;
    uint32_t rkey;
    uint64_t remote;
};

static struct extended *of(struct ibv_qp_ex *qp)
{
    return watch_pair(&qp->qp_base)->extended;
}

static struct finding finding_of(struct ibv_qp_ex *qp, const void *caller)
{
    return (struct finding){.call = "ibv_wr_complete", .caller = caller, .context = qp->qp_base.context};
}

/* Remembers what was found of the request that is being built. */
static void note(struct extended *state, const struct finding *finding)
{
    if (finding->wrong == RIGHT)
        return;
    state->is_wrong |= finding->remote != REMOTE_ANY;
    state->is_refused |= watch_report(finding);
}

static void check_remote(struct ibv_qp_ex *qp, struct extended *state, uint64_t length, const void *caller)
{
    struct finding finding = finding_of(qp, caller);
    uint64_t page;
    if (!state->has_remote)
        return;
    state->has_remote = false;
    finding.remote = watch_remote(state->rkey, state->remote, &page);
    if (finding.remote == REMOTE_UNWATCHED)
        return;
    finding.key = state->rkey;
    finding.part = (struct part){.address = state->remote, .length = length, .page = page,
                                 .packet = watch_packet(&qp->qp_base, LARGEST_PACKET)};
    finding.wrong = watch_judge(&finding.part);
    if (finding.remote == REMOTE_ANY)
        watch_count_remote(state->rkey, finding.wrong != RIGHT, length);
    else
        state->is_seen = true;
    note(state, &finding);
}

static void check_entries(struct ibv_qp_ex *qp, struct extended *state, size_t count, const struct ibv_sge *list,
                          const void *caller)
{
    uint64_t before = 0;
    for (size_t i = 0; i < count; before += list[i].length, i++) {
        struct guarded *region = watch_region(qp->qp_base.context, list[i].lkey, list[i].addr);
        struct finding finding = finding_of(qp, caller);
        if (!region)
            continue;
        finding.key = list[i].lkey;
        finding.part = (struct part){.address = list[i].addr, .length = list[i].length, .before = before,
                                     .page = region->page,
                                     .packet = watch_packet(&qp->qp_base, LARGEST_PACKET)};
        finding.wrong = watch_judge(&finding.part);
        state->is_seen = true;
        note(state, &finding);
    }
    check_remote(qp, state, before, caller);
    if (state->is_seen && !state->is_wrong)
        watch_count_right();
}

static void check_inline(struct ibv_qp_ex *qp, struct extended *state, uint64_t length, const void *caller)
{
    check_remote(qp, state, length, caller);
    if (state->is_seen && !state->is_wrong)
        watch_count_right();
}

/* Requests */

/* A request without a remote address, or with one that atomic operations use rightly. */
static struct extended *to_none(struct ibv_qp_ex *qp)
{
    struct extended *state = of(qp);
    state->has_remote = state->is_seen = state->is_wrong = false;
    return state;
}

static void to_remote(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
    struct extended *state = to_none(qp);
    state->has_remote = true;
    state->rkey = rkey;
    state->remote = address;
}

static void rdma_read(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
    to_remote(qp, rkey, address);
    of(qp)->own.wr_rdma_read(qp, rkey, address);
}

static void rdma_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
    to_remote(qp, rkey, address);
    of(qp)->own.wr_rdma_write(qp, rkey, address);
}

static void rdma_write_imm(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address, __be32 immediate)
{
    to_remote(qp, rkey, address);
    of(qp)->own.wr_rdma_write_imm(qp, rkey, address, immediate);
}

static void send_plain(struct ibv_qp_ex *qp)
{
    to_none(qp)->own.wr_send(qp);
}

static void send_imm(struct ibv_qp_ex *qp, __be32 immediate)
{
    to_none(qp)->own.wr_send_imm(qp, immediate);
}

static void send_inv(struct ibv_qp_ex *qp, uint32_t rkey)
{
    to_none(qp)->own.wr_send_inv(qp, rkey);
}

static void compare_and_swap(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address, uint64_t compare, uint64_t swap)
{
    to_none(qp)->own.wr_atomic_cmp_swp(qp, rkey, address, compare, swap);
}

static void fetch_and_add(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address, uint64_t addend)
{
    to_none(qp)->own.wr_atomic_fetch_add(qp, rkey, address, addend);
}

static void bind_window(struct ibv_qp_ex *qp, struct ibv_mw *window, uint32_t rkey,
                        const struct ibv_mw_bind_info *info)
{
    struct finding finding = finding_of(qp, __builtin_return_address(0));
    struct guarded *region = info->mr ? watch_region(finding.context, info->mr->lkey, info->addr) : NULL;
    if (region && info->length != 0 && info->addr % region->page != 0) {
        finding.wrong = BEGINS_INSIDE;
        finding.key = info->mr->lkey;
        finding.part = (struct part){.address = info->addr, .length = info->length, .page = region->page,
                                     .packet = LARGEST_PACKET};
        of(qp)->is_refused |= watch_report(&finding);
    }
    to_none(qp)->own.wr_bind_mw(qp, window, rkey, info);
}

/* Data */

static void set_sge(struct ibv_qp_ex *qp, uint32_t lkey, uint64_t address, uint32_t length)
{
    struct ibv_sge entry = {.addr = address, .length = length, .lkey = lkey};
    check_entries(qp, of(qp), 1, &entry, __builtin_return_address(0));
    of(qp)->own.wr_set_sge(qp, lkey, address, length);
}

static void set_sge_list(struct ibv_qp_ex *qp, size_t count, const struct ibv_sge *list)
{
    check_entries(qp, of(qp), count, list, __builtin_return_address(0));
    of(qp)->own.wr_set_sge_list(qp, count, list);
}

static void set_inline_data(struct ibv_qp_ex *qp, void *address, size_t length)
{
    check_inline(qp, of(qp), length, __builtin_return_address(0));
    of(qp)->own.wr_set_inline_data(qp, address, length);
}

static void set_inline_data_list(struct ibv_qp_ex *qp, size_t count, const struct ibv_data_buf *list)
{
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += list[i].length;
    check_inline(qp, of(qp), length, __builtin_return_address(0));
    of(qp)->own.wr_set_inline_data_list(qp, count, list);
}

/* Batches */

static void start(struct ibv_qp_ex *qp)
{
    struct extended *state = of(qp);
    state->own.wr_start(qp);
    state->is_refused = false;
    state->has_remote = false;
}

static int complete(struct ibv_qp_ex *qp)
{
    struct extended *state = of(qp);
    if (!state->is_refused)
        return state->own.wr_complete(qp);
    state->is_refused = false;
    qp->wr_abort(qp);
    errno = EINVAL;
    return EINVAL;
}

#define TAKE(member, call) \
    do { \
        if (qp->member) { \
            state->own.member = qp->member; \
            atomic_thread_fence(memory_order_seq_cst); \
            qp->member = call; \
        } \
    } while (0)

void watch_extended(struct pair *pair, struct ibv_qp_ex *(*convert)(struct ibv_qp *))
{
    struct ibv_qp_ex *qp = convert ? convert(pair->qp) : NULL;
    if (!qp || qp->wr_start == start || !qp->wr_complete || !qp->wr_abort)
        return;
    struct extended *state = pair->extended ? pair->extended : calloc(1, sizeof(*state));
    if (!state) {
        watch_report_blind(pair->context);
        return;
    }
    *state = (struct extended){.is_refused = false};
    pair->extended = state;
    TAKE(wr_atomic_cmp_swp, compare_and_swap);
    TAKE(wr_atomic_fetch_add, fetch_and_add);
    TAKE(wr_bind_mw, bind_window);
    TAKE(wr_rdma_read, rdma_read);
    TAKE(wr_rdma_write, rdma_write);
    TAKE(wr_rdma_write_imm, rdma_write_imm);
    TAKE(wr_send, send_plain);
    TAKE(wr_send_imm, send_imm);
    TAKE(wr_send_inv, send_inv);
    TAKE(wr_set_sge, set_sge);
    TAKE(wr_set_sge_list, set_sge_list);
    TAKE(wr_set_inline_data, set_inline_data);
    TAKE(wr_set_inline_data_list, set_inline_data_list);
    TAKE(wr_complete, complete);
    TAKE(wr_start, start);
}
