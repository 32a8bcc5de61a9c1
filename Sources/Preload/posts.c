/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The posting calls of a context: they are pointers in it, which the inline functions of verbs.h call. A context gets
 * these when its first region that has to be guarded is registered, so that devices that need no guard pay nothing.
 */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>

enum { LARGEST_PACKET = 4096 };

/* The entries of one request. */
struct entries {
    struct finding finding;
    struct ibv_qp *qp; /* NULL: of a shared receive queue */
    const struct ibv_sge *list;
    int count;
    bool is_seen; /* one of them is in memory that is watched */
};

static uint32_t packet_of(struct entries *entries)
{
    return entries->qp ? watch_packet(entries->qp, LARGEST_PACKET) : LARGEST_PACKET;
}

/* Whether a local entry would be moved wrongly: then it is in the finding. */
static bool has_wrong_entry(struct entries *entries)
{
    struct part *part = &entries->finding.part;
    uint64_t before = 0;
    for (int i = 0; i < entries->count; before += entries->list[i].length, i++) {
        const struct ibv_sge *entry = &entries->list[i];
        struct guarded *region = watch_region(entries->finding.context, entry->lkey, entry->addr);
        if (!region)
            continue;
        entries->is_seen = true;
        part->address = entry->addr;
        part->length = entry->length;
        part->before = before;
        part->page = region->page;
        part->packet = packet_of(entries);
        entries->finding.key = entry->lkey;
        entries->finding.remote = REMOTE_UNWATCHED;
        entries->finding.wrong = watch_judge(part);
        if (entries->finding.wrong != RIGHT)
            return true;
    }
    return false;
}

static uint64_t total(const struct ibv_sge *list, int count)
{
    uint64_t length = 0;
    for (int i = 0; i < count; i++)
        length += list[i].length;
    return length;
}

/* The same of the memory at the other end. */
static bool is_wrong_there(struct entries *entries, uint32_t rkey, uint64_t address)
{
    struct finding *finding = &entries->finding;
    uint64_t page;
    enum remote whose = watch_remote(rkey, address, &page);
    if (whose == REMOTE_UNWATCHED)
        return false;
    finding->remote = whose;
    finding->key = rkey;
    finding->part = (struct part){.address = address, .length = total(entries->list, entries->count), .page = page,
                                  .packet = packet_of(entries)};
    finding->wrong = watch_judge(&finding->part);
    if (whose == REMOTE_ANY)
        watch_count_remote(rkey, finding->wrong != RIGHT, finding->part.length);
    else
        entries->is_seen = true;
    return finding->wrong != RIGHT;
}

/* A window that begins inside a page is used from there on. */
static bool is_wrong_window(struct entries *entries, const struct ibv_mw_bind_info *info)
{
    struct finding *finding = &entries->finding;
    struct guarded *region = info->mr ? watch_region(finding->context, info->mr->lkey, info->addr) : NULL;
    if (!region || info->length == 0 || info->addr % region->page == 0)
        return false;
    finding->wrong = BEGINS_INSIDE;
    finding->key = info->mr->lkey;
    finding->part = (struct part){.address = info->addr, .length = info->length, .page = region->page,
                                  .packet = LARGEST_PACKET};
    return true;
}

static bool is_refused(struct entries *entries)
{
    return watch_report(&entries->finding);
}

/* Whether a request is refused. */
static bool refuses_send(struct ibv_qp *qp, const struct ibv_send_wr *request, const void *caller)
{
    struct entries entries = {
        .finding = {.call = "ibv_post_send", .caller = caller, .context = qp->context}, .qp = qp,
        .list = request->sg_list, .count = request->num_sge,
    };
    bool is_wrong = false;
    switch (request->opcode) {
    case IBV_WR_LOCAL_INV:
        return false;
    case IBV_WR_BIND_MW:
        return is_wrong_window(&entries, &request->bind_mw.bind_info) && is_refused(&entries);
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_WRITE_WITH_IMM:
    case IBV_WR_RDMA_READ:
        is_wrong = is_wrong_there(&entries, request->wr.rdma.rkey, request->wr.rdma.remote_addr);
        break;
    default:
        break;
    }
    bool is_refusal = is_wrong && is_refused(&entries);
    /* What is only possible is counted apart. */
    is_wrong &= entries.finding.remote != REMOTE_ANY;
    /* The provider copies inline data while it posts, so that its entries are no transfers. */
    bool is_inline = request->send_flags & IBV_SEND_INLINE && request->opcode != IBV_WR_RDMA_READ;
    if (!is_refusal && !is_inline && has_wrong_entry(&entries)) {
        is_wrong = true;
        is_refusal = is_refused(&entries);
    }
    if (entries.is_seen && !is_wrong)
        watch_count_right();
    return is_refusal;
}

static bool refuses_receive(struct ibv_qp *qp, struct ibv_context *context, const struct ibv_recv_wr *request,
                            const void *caller)
{
    struct entries entries = {
        .finding = {.call = qp ? "ibv_post_recv" : "ibv_post_srq_recv", .caller = caller, .context = context,
                    .is_received = true},
        .qp = qp, .list = request->sg_list, .count = request->num_sge,
    };
    entries.finding.part.has_header = qp && qp->qp_type == IBV_QPT_UD;
    if (has_wrong_entry(&entries))
        return is_refused(&entries);
    if (entries.is_seen)
        watch_count_right();
    return false;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *requests, struct ibv_send_wr **bad)
{
    const void *caller = __builtin_return_address(0);
    struct watched *watched = watch_context(qp->context);
    struct ibv_send_wr *refused = requests;
    while (refused && !refuses_send(qp, refused, caller))
        refused = refused->next;
    if (!refused)
        return watched->post_send(qp, requests, bad);
    /* Those before it are posted, as by a provider that meets a bad one; the list is the program's own. */
    for (struct ibv_send_wr *each = requests; each != refused; each = each->next) {
        struct ibv_send_wr alone = *each, *ignored;
        alone.next = NULL;
        int error = watched->post_send(qp, &alone, &ignored);
        if (error) {
            if (bad)
                *bad = each;
            return error;
        }
    }
    if (bad)
        *bad = refused;
    errno = EINVAL;
    return EINVAL;
}

/* Receives have one way, whatever the queue. */
static int post_receives(struct watched *watched, struct ibv_qp *qp, struct ibv_srq *queue,
                         struct ibv_recv_wr *requests, struct ibv_recv_wr **bad, const void *caller)
{
    struct ibv_context *context = qp ? qp->context : queue->context;
    struct ibv_recv_wr *refused = requests;
    while (refused && !refuses_receive(qp, context, refused, caller))
        refused = refused->next;
    if (!refused)
        return qp ? watched->post_recv(qp, requests, bad) : watched->post_srq_recv(queue, requests, bad);
    for (struct ibv_recv_wr *each = requests; each != refused; each = each->next) {
        struct ibv_recv_wr alone = *each, *ignored;
        alone.next = NULL;
        int error = qp ? watched->post_recv(qp, &alone, &ignored) : watched->post_srq_recv(queue, &alone, &ignored);
        if (error) {
            if (bad)
                *bad = each;
            return error;
        }
    }
    if (bad)
        *bad = refused;
    errno = EINVAL;
    return EINVAL;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *requests, struct ibv_recv_wr **bad)
{
    return post_receives(watch_context(qp->context), qp, NULL, requests, bad, __builtin_return_address(0));
}

static int post_srq_recv(struct ibv_srq *queue, struct ibv_recv_wr *requests, struct ibv_recv_wr **bad)
{
    return post_receives(watch_context(queue->context), NULL, queue, requests, bad, __builtin_return_address(0));
}

static int bind_mw(struct ibv_qp *qp, struct ibv_mw *window, struct ibv_mw_bind *bind)
{
    struct entries entries = {
        .finding = {.call = "ibv_bind_mw", .caller = __builtin_return_address(0), .context = qp->context}, .qp = qp,
    };
    if (is_wrong_window(&entries, &bind->bind_info) && is_refused(&entries)) {
        errno = EINVAL;
        return EINVAL;
    }
    return watch_context(qp->context)->bind_mw(qp, window, bind);
}

#define TAKE(call) \
    do { \
        if (ops->call != call) { \
            watched->call = ops->call; \
            atomic_thread_fence(memory_order_seq_cst); \
            ops->call = call; \
        } \
    } while (0)

void watch_enter(struct watched *watched)
{
    struct ibv_context_ops *ops = &watched->context->ops;
    TAKE(post_send);
    TAKE(post_recv);
    TAKE(post_srq_recv);
    TAKE(bind_mw);
}
