/* SPDX-License-Identifier: Apache-2.0 */
/* libibverbs: posting, polling and completion events. */
#include "fake_network.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void take_entry(struct fake_request *request, const struct ibv_sge *list, int count)
{
    request->entries = (uint32_t)count;
    if (count < 1)
        return;
    request->address = list->addr;
    request->byte_count = list->length;
    request->key = list->lkey;
    for (int i = 0; i < count && i < 4; i++)
        request->list[i] = (struct fake_entry){list[i].addr, list[i].length, list[i].lkey};
}

static int post_send(struct ibv_qp *pair, struct ibv_send_wr *work, struct ibv_send_wr **bad)
{
    int error = fake_failure("ibv_post_send");
    if (error || !fake_check(pair, FAKE_QUEUE_PAIR, "ibv_post_send")) {
        *bad = work;
        return error ? error : EINVAL;
    }
    struct fake_request ignored;
    struct fake_request *request = fake->send_count < FAKE_LOG ? &fake->sends[fake->send_count] : &ignored;
    fake->send_count++;
    memset(request, 0, sizeof(*request));
    request->request_id = work->wr_id;
    request->opcode = work->opcode;
    request->flags = work->send_flags;
    request->remote_address = work->wr.rdma.remote_addr;
    request->remote_key = work->wr.rdma.rkey;
    request->immediate = be32toh(work->imm_data);
    take_entry(request, work->sg_list, work->num_sge);
    if (work->next)
        fake_complain("ibv_post_send: a chain of requests where one was meant");
    if (work->opcode == IBV_WR_SEND && work->num_sge == 1 && work->sg_list->length <= sizeof(fake->said))
        memcpy(fake->said, (void *)(uintptr_t)work->sg_list->addr, work->sg_list->length);
    if (fake->network)
        return fake_network_post_send(pair, work);
    fake_loop(work);
    return 0;
}

static int post_receive(struct ibv_qp *pair, struct ibv_recv_wr *work, struct ibv_recv_wr **bad)
{
    int error = fake_failure("ibv_post_recv");
    if (error || !fake_check(pair, FAKE_QUEUE_PAIR, "ibv_post_recv")) {
        *bad = work;
        return error ? error : EINVAL;
    }
    fake->receive_count++;
    memset(&fake->last_receive, 0, sizeof(fake->last_receive));
    fake->last_receive.request_id = work->wr_id;
    take_entry(&fake->last_receive, work->sg_list, work->num_sge);
    if (work->next)
        fake_complain("ibv_post_recv: a chain of requests where one was meant");
    if (!(uint32_t)work->wr_id)
        fake->first_place = fake->last_receive.address;
    return fake->network ? fake_network_post_receive(pair, work) : 0;
}

static int poll_queue(struct ibv_cq *queue, int entries, struct ibv_wc *into)
{
    if (!fake_check(queue, FAKE_COMPLETION_QUEUE, "ibv_poll_cq"))
        return -EINVAL;
    if (fake->poll_result < 0)
        return fake->poll_result;
    if (fake->network)
        return fake_network_poll(queue, entries, into);
    unsigned count = fake->completion_count < (unsigned)entries ? fake->completion_count : (unsigned)entries;
    memcpy(into, fake->completions, count * sizeof(*into));
    for (unsigned i = 0; i < count && fake->message_bytes && fake->first_place; i++)
        if (into[i].opcode == IBV_WC_RECV && into[i].byte_len == fake->message_bytes && !into[i].wc_flags) {
            memcpy((void *)(uintptr_t)fake->first_place, fake->message, fake->message_bytes);
            fake->message_bytes = 0;
        }
    fake->completion_count -= count;
    memmove(fake->completions, fake->completions + count,
            fake->completion_count * sizeof(*into));
    return (int)count;
}

static int request_notification(struct ibv_cq *queue, int solicited_only)
{
    int error = fake_failure("ibv_req_notify_cq");
    if (error || !fake_check(queue, FAKE_COMPLETION_QUEUE, "ibv_req_notify_cq"))
        return error ? error : EINVAL;
    if (solicited_only)
        fake_complain("ibv_req_notify_cq: only for solicited completions");
    fake->notifying = queue;
    if (fake->network)
        fake_network_arm(queue);
    return 0;
}

void fake_fill_operations(struct ibv_context_ops *operations)
{
    operations->post_send = post_send;
    operations->post_recv = post_receive;
    operations->poll_cq = poll_queue;
    operations->req_notify_cq = request_notification;
}

void fake_verbs_complete(uint64_t request_id, uint32_t status, uint32_t opcode, uint32_t byte_count,
                         int has_immediate, uint32_t immediate, uint32_t vendor_syndrome)
{
    if (fake->completion_count == FAKE_LOG)
        return fake_complain("more completions than the fake holds");
    struct ibv_wc *slot = &fake->completions[fake->completion_count++];
    memset(slot, 0, sizeof(*slot));
    slot->wr_id = request_id;
    slot->status = status;
    slot->opcode = opcode;
    slot->byte_len = byte_count;
    slot->vendor_err = vendor_syndrome;
    slot->imm_data = htobe32(immediate);
    slot->wc_flags = has_immediate ? IBV_WC_WITH_IMM : 0;
    if (!fake->notifying || !fake->notifying->channel)
        return;
    fake->pending_events++;
    uint64_t one = 1;
    if (write(fake->notifying->channel->fd, &one, sizeof(one)) != sizeof(one))
        fake_complain("no event on the completion channel");
}

void fake_verbs_message(uint64_t request_id, const void *bytes, uint8_t count)
{
    memcpy(fake->message, bytes, count);
    fake->message_bytes = count;
    fake_verbs_complete(request_id, IBV_WC_SUCCESS, IBV_WC_RECV, count, 0, 0, 0);
}

void fake_verbs_poll_result(int result)
{
    fake->poll_result = result;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **queue, void **context)
{
    bool is_there = fake_check(channel, FAKE_COMPLETION_CHANNEL, "ibv_get_cq_event");
    *context = NULL;
    if (is_there && fake->network && (*queue = fake_network_event(channel))) {
        fake->unacknowledged++;
        return 0;
    }
    if (!is_there || !fake->pending_events) {
        errno = EAGAIN;
        return -1;
    }
    fake->pending_events--;
    fake->unacknowledged++;
    uint64_t number;
    if (!fake->pending_events && read(channel->fd, &number, sizeof(number)) != sizeof(number))
        fake_complain("no event on the completion channel");
    *queue = fake->notifying;
    return 0;
}

void ibv_ack_cq_events(struct ibv_cq *queue, unsigned count)
{
    if (!fake_check(queue, FAKE_COMPLETION_QUEUE, "ibv_ack_cq_events"))
        return;
    if (count > fake->unacknowledged)
        fake_complain("ibv_ack_cq_events: more than there were");
    else
        fake->unacknowledged -= count;
}

void fake_verbs_said(uint8_t *into, uint8_t count)
{
    memcpy(into, fake->said, count);
}

unsigned fake_verbs_unacknowledged(void)
{
    return fake->unacknowledged;
}

struct fake_request fake_verbs_send(unsigned index)
{
    return index < fake->send_count && index < FAKE_LOG ? fake->sends[index] : (struct fake_request){0};
}

struct fake_request fake_verbs_last_send(void)
{
    return fake_verbs_send(fake->send_count - 1);
}

unsigned fake_verbs_sends(void)
{
    return fake->send_count;
}

unsigned fake_verbs_receives(void)
{
    return fake->receive_count;
}

struct fake_request fake_verbs_last_receive(void)
{
    return fake->last_receive;
}
