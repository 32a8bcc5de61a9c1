/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections between two ends, both in this process. Nothing moves by itself: what is posted, acknowledged or said to
 * the connection manager waits in a lane of its own until the test lets it arrive. The bytes are read when a request
 * arrives and compared when it is acknowledged, because a device may send them again until then.
 */
#include "fake_network.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fake_network_begin(void)
{
    fake->network = calloc(1, sizeof(struct fake_network));
}

static void drop(struct fake_request_underway *request)
{
    free(request->sent);
    free(request);
}

static struct fake_request_underway *take(struct fake_fifo *fifo)
{
    struct fake_request_underway *first = fifo->first;
    if (first && !(fifo->first = first->next))
        fifo->last = NULL;
    return first;
}

static void add(struct fake_fifo *fifo, struct fake_request_underway *request)
{
    request->next = NULL;
    if (fifo->last)
        fifo->last->next = request;
    else
        fifo->first = request;
    fifo->last = request;
}

static void empty(struct fake_fifo *fifo)
{
    for (struct fake_request_underway *request; (request = take(fifo));)
        drop(request);
}

void fake_network_end(void)
{
    struct fake_network *network = fake->network;
    if (!network)
        return;
    for (struct fake_end *end = network->ends, *next; end; end = next) {
        next = end->next;
        empty(&end->posted);
        empty(&end->arrived);
        for (struct fake_word *word = end->words, *after; word; word = after) {
            after = word->next;
            free(word);
        }
        free(end->receives);
        free(end);
    }
    fake_network_forget_queues();
    free(network->held);
    free(network);
    fake->network = NULL;
}

uint64_t fake_network_moved(void)
{
    return fake->network->moved;
}

/* Queue pairs */

/* The end that a pair is of is kept in the pair: found at once, however many there are. */
static struct fake_end *end_of_pair(struct ibv_qp *pair)
{
    struct fake_end *known = pair->qp_context;
    if (known && known->pair == pair)
        return known;
    for (struct fake_end *end = fake->network->ends; end; end = end->next)
        if (end->pair == pair)
            return pair->qp_context = end;
    return NULL;
}

struct fake_end *fake_end_of(struct rdma_cm_id *id)
{
    for (struct fake_end *end = fake->network->ends; end; end = end->next)
        if (end->id == id)
            return end;
    struct fake_end *made = calloc(1, sizeof(*made));
    made->id = id;
    made->next = fake->network->ends;
    return fake->network->ends = made;
}

struct rdma_cm_id *fake_network_id(struct ibv_qp *pair)
{
    struct fake_end *end = end_of_pair(pair);
    return end ? end->id : NULL;
}

struct rdma_cm_id *fake_network_peer(struct rdma_cm_id *id)
{
    struct fake_end *peer = fake_end_of(id)->peer;
    return peer ? peer->id : NULL;
}

void fake_network_claim(const char *address)
{
    fake->claim = address;
}

void fake_network_adopt(struct rdma_cm_id *id)
{
    fake_end_of(id)->pair = id->qp;
}

static void finish(struct fake_end *end, const struct fake_request_underway *request, uint32_t status)
{
    if (status == IBV_WC_SUCCESS && !(request->work.send_flags & IBV_SEND_SIGNALED))
        return;
    static const uint32_t operations[] = {
        [IBV_WR_SEND_WITH_IMM] = IBV_WC_SEND, [IBV_WR_SEND] = IBV_WC_SEND, [IBV_WR_RDMA_READ] = IBV_WC_RDMA_READ,
        [IBV_WR_RDMA_WRITE] = IBV_WC_RDMA_WRITE, [IBV_WR_RDMA_WRITE_WITH_IMM] = IBV_WC_RDMA_WRITE,
    };
    fake_network_complete(end->pair->send_cq, (struct ibv_wc){
        .wr_id = request->work.wr_id, .status = status, .opcode = operations[request->work.opcode],
        .byte_len = request->entry.length});
}

static void flush_receive(struct ibv_qp *pair, uint64_t id)
{
    struct ibv_wc wc = {.wr_id = id, .status = IBV_WC_WR_FLUSH_ERR, .opcode = IBV_WC_RECV};
    fake_network_complete(pair->recv_cq, wc);
}

void fake_network_fail(struct fake_end *end, uint32_t status)
{
    if (end->is_broken)
        return;
    end->is_broken = true;
    if (!end->pair)
        return;
    for (int i = 0; i < 2; i++)
        for (struct fake_request_underway *request; (request = take(i == 0 ? &end->arrived : &end->posted));) {
            finish(end, request, status);
            status = IBV_WC_WR_FLUSH_ERR;
            drop(request);
        }
    for (unsigned i = 0; i < end->receive_count; i++)
        flush_receive(end->pair, end->receives[i].id);
    end->receive_count = 0;
}

void fake_network_forget_pair(struct ibv_qp *pair)
{
    struct fake_end *end = end_of_pair(pair);
    if (!end)
        return;
    end->is_broken = true;
    end->pair = NULL;
    empty(&end->posted);
    empty(&end->arrived);
}

/* Reads of a queue pair that is connected to itself, held back. */
#define HELD 64
struct fake_held {
    struct ibv_cq *queue;
    struct ibv_wc wc;
};

void fake_network_hold_reads(int on)
{
    struct fake_network *network = fake->network;
    if (!network->held)
        network->held = calloc(HELD, sizeof(*network->held));
    network->holds_reads = on != 0;
    for (unsigned i = 0; !on && i < network->held_count; i++)
        fake_network_complete(network->held[i].queue, network->held[i].wc);
    if (!on)
        network->held_count = 0;
}

unsigned fake_network_held_reads(void)
{
    return fake->network->held_count;
}

/* A queue pair that is connected to itself reads at once, unless reads are held back. */
static int read_oneself(struct ibv_qp *pair, struct ibv_send_wr *work)
{
    uint8_t *to = fake_place(work->sg_list->lkey, work->sg_list->addr, work->sg_list->length);
    uint8_t *from = fake_place(work->wr.rdma.rkey, work->wr.rdma.remote_addr, work->sg_list->length);
    if (work->opcode != IBV_WR_RDMA_READ || !to || !from)
        return EINVAL;
    memcpy(to, from, work->sg_list->length);
    struct ibv_wc wc = {.wr_id = work->wr_id, .opcode = IBV_WC_RDMA_READ};
    struct fake_network *network = fake->network;
    if (network->holds_reads && network->held_count < HELD)
        network->held[network->held_count++] = (struct fake_held){pair->send_cq, wc};
    else
        fake_network_complete(pair->send_cq, wc);
    return 0;
}

int fake_network_post_send(struct ibv_qp *pair, struct ibv_send_wr *work)
{
    struct fake_end *end = end_of_pair(pair);
    if (!end)
        return read_oneself(pair, work);
    if (work->num_sge > 1)
        fake_complain("the fake's network takes requests of one entry");
    struct fake_request_underway *made = calloc(1, sizeof(*made));
    made->work = *work;
    if (work->num_sge)
        made->entry = *work->sg_list;
    if (end->is_broken || !end->peer) {
        finish(end, made, IBV_WC_WR_FLUSH_ERR);
        drop(made);
        return 0;
    }
    add(&end->posted, made);
    return 0;
}

int fake_network_post_receive(struct ibv_qp *pair, struct ibv_recv_wr *work)
{
    struct fake_end *end = end_of_pair(pair);
    if (!end)
        return 0;
    if (end->is_broken) {
        flush_receive(pair, work->wr_id);
        return 0;
    }
    if (end->receive_count == end->receive_room) {
        end->receive_room = end->receive_room * 2 + 16;
        end->receives = realloc(end->receives, end->receive_room * sizeof(*end->receives));
    }
    end->receives[end->receive_count++] = (struct fake_receive){
        work->wr_id, work->num_sge ? work->sg_list[0] : (struct ibv_sge){0}};
    return 0;
}

static bool has_immediate(const struct fake_request_underway *request)
{
    return request->work.opcode == IBV_WR_SEND_WITH_IMM || request->work.opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

static bool takes_receive(const struct fake_request_underway *request)
{
    return has_immediate(request) || request->work.opcode == IBV_WR_SEND;
}

/* What the first request of an end does at the other; its status. */
static uint32_t execute(struct fake_end *end, struct fake_request_underway *request)
{
    struct fake_end *peer = end->peer;
    uint64_t count = request->entry.length;
    const uint8_t *from = count ? fake_place(request->entry.lkey, request->entry.addr, count) : NULL;
    if (count && !from)
        return IBV_WC_LOC_PROT_ERR;
    bool is_write = request->work.opcode != IBV_WR_SEND_WITH_IMM && request->work.opcode != IBV_WR_SEND;
    if (is_write && request->work.opcode != IBV_WR_RDMA_WRITE && request->work.opcode != IBV_WR_RDMA_WRITE_WITH_IMM)
        return IBV_WC_REM_INV_REQ_ERR;
    if (is_write && count) {
        uint8_t *to = fake_place(request->work.wr.rdma.rkey, request->work.wr.rdma.remote_addr, count);
        if (!to)
            return IBV_WC_REM_ACCESS_ERR;
        memcpy(to, from, count);
        request->sent = memcpy(malloc(count), from, count);
        fake->network->moved += count;
    }
    if (!takes_receive(request))
        return IBV_WC_SUCCESS;
    struct fake_receive receive = peer->receives[0];
    if (!is_write && count) {
        uint8_t *to = fake_place(receive.place.lkey, receive.place.addr, count);
        if (!to || count > receive.place.length)
            return IBV_WC_REM_INV_REQ_ERR;
        memcpy(to, from, count);
        request->sent = memcpy(malloc(count), from, count);
    }
    memmove(peer->receives, peer->receives + 1, --peer->receive_count * sizeof(*peer->receives));
    fake_network_complete(peer->pair->recv_cq, (struct ibv_wc){
        .wr_id = receive.id, .opcode = is_write ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV, .byte_len = (uint32_t)count,
        .imm_data = request->work.imm_data, .wc_flags = has_immediate(request) ? IBV_WC_WITH_IMM : 0});
    return IBV_WC_SUCCESS;
}

static bool is_lost(const struct fake_end *end)
{
    return !end->peer || !end->peer->pair || end->peer->is_broken;
}

/* Whether the first request can arrive: a message waits until there is a receive for it. */
static bool is_ready(const struct fake_end *end)
{
    return end->posted.first && end->pair
        && (is_lost(end) || !takes_receive(end->posted.first) || end->peer->receive_count > 0);
}

static void arrive(struct fake_end *end)
{
    if (is_lost(end))
        return fake_network_fail(end, IBV_WC_RETRY_EXC_ERR);
    uint32_t status = execute(end, end->posted.first);
    if (status == IBV_WC_SUCCESS)
        return add(&end->arrived, take(&end->posted));
    /* What came before is acknowledged. */
    while (end->arrived.first) {
        struct fake_request_underway *request = take(&end->arrived);
        finish(end, request, IBV_WC_SUCCESS);
        drop(request);
    }
    fake_network_fail(end, status);
    if (status != IBV_WC_LOC_PROT_ERR)
        fake_network_fail(end->peer, IBV_WC_WR_FLUSH_ERR);
}

static void acknowledge(struct fake_end *end)
{
    struct fake_request_underway *request = take(&end->arrived);
    uint32_t count = request->entry.length;
    const uint8_t *now = request->sent ? fake_place(request->entry.lkey, request->entry.addr, count) : NULL;
    if (request->sent && (!now || memcmp(now, request->sent, count) != 0))
        fake_complain("memory was changed before the device had an acknowledgement for it");
    finish(end, request, IBV_WC_SUCCESS);
    drop(request);
}

/* Lanes */

enum { REQUESTS, ACKNOWLEDGEMENTS, WORDS };

/* Lets what is first in a lane arrive, or counts the lanes that have something. */
static unsigned walk(unsigned wanted, bool delivers)
{
    unsigned count = 0;
    for (struct fake_end *end = fake->network->ends; end; end = end->next) {
        bool is_there[] = {is_ready(end), end->pair && end->arrived.first, end->words != NULL};
        for (int lane = REQUESTS; lane <= WORDS; lane++) {
            if (!is_there[lane] || count++ != wanted || !delivers)
                continue;
            if (lane == REQUESTS)
                arrive(end);
            else if (lane == ACKNOWLEDGEMENTS)
                acknowledge(end);
            else
                fake_network_hear(end);
            return count;
        }
    }
    return count;
}

unsigned fake_network_lanes(void)
{
    return walk(0, false);
}

void fake_network_deliver(unsigned lane)
{
    walk(lane, true);
}

static void deliver_all(int kind)
{
    for (struct fake_end *end = fake->network->ends; end; end = end->next)
        while (kind == WORDS ? end->words != NULL : is_ready(end))
            kind == WORDS ? fake_network_hear(end) : arrive(end);
}

void fake_network_deliver_requests(void)
{
    deliver_all(REQUESTS);
}

void fake_network_deliver_words(void)
{
    deliver_all(WORDS);
}
