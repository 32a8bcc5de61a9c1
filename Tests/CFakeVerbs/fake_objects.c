/* SPDX-License-Identifier: Apache-2.0 */
/* libibverbs: what is made from a context. */
#include "fake_network.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* The connection manager's context is no counted object: it has no parent's duty. */
static void *parent_of(struct ibv_context *context)
{
    return context == fake->manager_context ? NULL : fake_context_object(context);
}

/* NULL and errno when the call shall fail. */
static void *make(enum fake_kind kind, size_t bytes, const char *call, void *a, void *b, void *c)
{
    int error = fake_failure(call);
    if (error) {
        errno = error;
        return NULL;
    }
    return fake_make(kind, bytes, call, a, b, c);
}

void *fake_make_or_fail(enum fake_kind kind, size_t bytes, const char *call, void *parent)
{
    return make(kind, bytes, call, parent, NULL, NULL);
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
    struct ibv_pd *pd = make(FAKE_PROTECTION_DOMAIN, sizeof(*pd), "ibv_alloc_pd",
                             fake ? parent_of(context) : NULL, NULL, NULL);
    if (pd)
        pd->context = context;
    return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
    return fake_destroy(pd, FAKE_PROTECTION_DOMAIN, "ibv_dealloc_pd");
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t bytes, int access)
{
    struct fake_state *before = fake_enter(pd->context);
    /* Not with the lock: others go on. */
    if (fake && fake->registration_time)
        usleep(fake->registration_time);
    fake_lock();
    if (fake) {
        fake->registered_address = (uintptr_t)address;
        fake->registered_bytes = bytes;
        fake->registered_access = (uint32_t)access;
    }
    struct ibv_mr *made = fake_register(pd, "ibv_reg_mr", address, bytes, (uintptr_t)address, address, 0);
    if (made && fake_mapping_of(made->lkey))
        fake_mapping_of(made->lkey)->access = (uint32_t)access;
    fake_unlock();
    fake_leave(before);
    return made;
}

/* The memory must still be there: pages that went before the device was told could be anyone's by now. */
int ibv_dereg_mr(struct ibv_mr *region)
{
    if (!fake_check(region, FAKE_REGION, "ibv_dereg_mr"))
        return EINVAL;
    int error = fake_failure("ibv_dereg_mr");
    if (error)
        return error;
    long page = sysconf(_SC_PAGESIZE);
    uint8_t *first = (uint8_t *)((uintptr_t)region->addr & ~(uintptr_t)(page - 1));
    uint8_t *end = (uint8_t *)region->addr + region->length;
    fake_lock();
    fake_forget(region);
    fake_unlock();
    for (uint8_t *at = first; !fake_is_buffer_region(region) && at < end; at += page) {
        unsigned char resident;
        if (mincore(at, 1, &resident) != 0) {
            fake_complain("ibv_dereg_mr: the memory has been unmapped before");
            break;
        }
    }
    return fake_destroy(region, FAKE_REGION, "ibv_dereg_mr");
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
    struct ibv_comp_channel *channel =
        make(FAKE_COMPLETION_CHANNEL, sizeof(*channel), "ibv_create_comp_channel",
             fake ? parent_of(context) : NULL, NULL, NULL);
    if (!channel)
        return NULL;
    channel->context = context;
    channel->fd = fake_failure("fcntl") ? -1 : eventfd(0, EFD_CLOEXEC);
    return channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
    int error = fake_destroy(channel, FAKE_COMPLETION_CHANNEL, "ibv_destroy_comp_channel");
    if (!error && channel->fd >= 0)
        close(channel->fd);
    return error;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int entries, void *cookie,
                             struct ibv_comp_channel *channel, int vector)
{
    (void)cookie, (void)vector;
    struct ibv_cq *queue = make(FAKE_COMPLETION_QUEUE, sizeof(*queue), "ibv_create_cq",
                                fake ? parent_of(context) : NULL, channel, NULL);
    if (!queue)
        return NULL;
    queue->context = context;
    queue->channel = channel;
    queue->cqe = entries;
    return queue;
}

/* The real one waits until all events are acknowledged: for ever, where one has been forgotten. */
int ibv_destroy_cq(struct ibv_cq *queue)
{
    if (fake && fake->unacknowledged > 0)
        fake_complain("ibv_destroy_cq: events that nobody has acknowledged");
    if (fake && fake->network)
        fake_network_forget_queue(queue);
    return fake_destroy(queue, FAKE_COMPLETION_QUEUE, "ibv_destroy_cq");
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *wanted)
{
    struct ibv_qp *pair = make(FAKE_QUEUE_PAIR, sizeof(*pair), "ibv_create_qp", pd, wanted->send_cq,
                               wanted->recv_cq == wanted->send_cq ? NULL : wanted->recv_cq);
    if (!pair)
        return NULL;
    pair->context = pd->context;
    pair->pd = pd;
    pair->send_cq = wanted->send_cq;
    pair->recv_cq = wanted->recv_cq;
    pair->qp_num = 0x42;
    fake->entries_per_request = wanted->cap.max_send_sge;
    if (wanted->cap.max_recv_sge != wanted->cap.max_send_sge)
        fake_complain("ibv_create_qp: other lists for sends than for receives");
    return pair;
}

int ibv_destroy_qp(struct ibv_qp *pair)
{
    if (fake && fake->network)
        fake_network_forget_pair(pair);
    return fake_destroy(pair, FAKE_QUEUE_PAIR, "ibv_destroy_qp");
}

int ibv_modify_qp(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask)
{
    int error = fake_failure("ibv_modify_qp");
    if (error || !fake_check(pair, FAKE_QUEUE_PAIR, "ibv_modify_qp"))
        return error ? error : EINVAL;
    if (fake->state_count < FAKE_QUEUE && mask & IBV_QP_STATE) {
        fake->states[fake->state_count] = attributes->qp_state;
        fake->masks[fake->state_count++] = (uint32_t)mask;
    }
    if (mask & IBV_QP_ACCESS_FLAGS)
        fake->path.access = attributes->qp_access_flags;
    if (mask & IBV_QP_PORT)
        fake->path.port = attributes->port_num;
    if (mask & IBV_QP_AV) {
        fake->path.dlid = attributes->ah_attr.dlid;
        fake->path.is_global = attributes->ah_attr.is_global;
        fake->path.gid_index = attributes->ah_attr.grh.sgid_index;
        fake->path.path_mtu = attributes->path_mtu;
    }
    return 0;
}

static union ibv_gid gid_of(const struct sockaddr_in *address)
{
    union ibv_gid gid = {.raw = {[10] = 0xff, 0xff}};
    memcpy(gid.raw + 12, &address->sin_addr, 4);
    return gid;
}

/* On the fake's network a path leads from address to address, whatever a request claims. */
void fake_fill_path(struct ibv_ah_attr *handle, struct rdma_cm_id *id)
{
    handle->port_num = 1;
    handle->is_global = fake->leads_to_gid;
    handle->grh.sgid_index = 1;
    handle->grh.dgid = fake->peer;
    if (!fake->network || !id)
        return;
    handle->grh.sgid_index = gid_of(&id->route.addr.src_sin).raw[15];
    struct rdma_cm_id *peer = fake_network_peer(id);
    if (peer)
        handle->grh.dgid = gid_of(&peer->route.addr.src_sin);
}

void fake_verbs_lead_to(const uint8_t gid[16])
{
    fake->leads_to_gid = gid != NULL;
    if (gid)
        memcpy(fake->peer.raw, gid, 16);
}

int ibv_query_qp(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask,
                 struct ibv_qp_init_attr *initial)
{
    (void)initial;
    int error = fake_failure("ibv_query_qp");
    if (error || !fake_check(pair, FAKE_QUEUE_PAIR, "ibv_query_qp"))
        return error ? error : EINVAL;
    attributes->path_mtu = fake->path_mtu;
    attributes->ah_attr.port_num = 1;
    attributes->ah_attr.grh.sgid_index = 1;
    if (mask & IBV_QP_AV)
        fake_fill_path(&attributes->ah_attr, fake->network ? fake_network_id(pair) : NULL);
    return 0;
}

int fake_verbs_queue_pair_state(unsigned index)
{
    return index < fake->state_count ? fake->states[index] : -1;
}

uint32_t fake_verbs_queue_pair_mask(unsigned index)
{
    return index < fake->state_count ? fake->masks[index] : 0;
}

void fake_verbs_set_link_layer(uint8_t layer)
{
    fake->link_layer = layer;
}

struct fake_path fake_verbs_path(void)
{
    return fake->path;
}

uint32_t fake_verbs_entries_per_request(void)
{
    return fake->entries_per_request;
}
