/* SPDX-License-Identifier: Apache-2.0 */
/* The network of the fake: what its parts share, and what the rest of the fake tells it. */
#ifndef PEERMR_FAKE_NETWORK_H
#define PEERMR_FAKE_NETWORK_H

#include "fake_state.h"

struct fake_held;
struct fake_queue;

/* A request on its way. */
struct fake_request_underway {
    struct fake_request_underway *next;
    struct ibv_send_wr work;
    struct ibv_sge entry;
    uint8_t *sent;
};

struct fake_receive {
    uint64_t id;
    struct ibv_sge place;
};

struct fake_fifo {
    struct fake_request_underway *first, *last;
};

/* What the connection manager of one end says to the other. */
struct fake_word {
    struct fake_word *next;
    uint32_t kind;
    int status;
    uint8_t data[256];
    uint8_t bytes;
};

/* An end of a connection, or a listener. */
struct fake_end {
    struct fake_end *next, *peer;
    struct rdma_cm_id *id;
    /* Whom the request is for, until it has come there. */
    struct rdma_cm_id *listener;
    struct ibv_qp *pair;
    bool is_listening, is_accepted, is_over, is_broken;
    struct fake_fifo posted, arrived;
    struct fake_receive *receives;
    unsigned receive_count, receive_room;
    struct fake_word *words;
};

struct fake_network {
    struct fake_end *ends;
    struct fake_queue *queues;
    uint64_t moved;
    struct fake_held *held;
    unsigned held_count;
    bool holds_reads;
};

void fake_network_end(void);
void fake_network_complete(struct ibv_cq *queue, struct ibv_wc completion);
struct fake_end *fake_end_of(struct rdma_cm_id *id);
/* The connection of a queue pair, and the other end's; NULL where there is none. */
struct rdma_cm_id *fake_network_id(struct ibv_qp *pair);
struct rdma_cm_id *fake_network_peer(struct rdma_cm_id *id);
/* The queue pair fails: its first request with this status, everything else as flushed. */
void fake_network_fail(struct fake_end *end, uint32_t status);
/* The first thing that was said to an end is heard there. */
void fake_network_hear(struct fake_end *end);

int fake_network_post_send(struct ibv_qp *pair, struct ibv_send_wr *work);
int fake_network_post_receive(struct ibv_qp *pair, struct ibv_recv_wr *work);
int fake_network_poll(struct ibv_cq *queue, int entries, struct ibv_wc *into);
void fake_network_arm(struct ibv_cq *queue);
struct ibv_cq *fake_network_event(struct ibv_comp_channel *channel);
void fake_network_forget_queue(struct ibv_cq *queue);
void fake_network_forget_queues(void);

void fake_network_adopt(struct rdma_cm_id *id);
void fake_network_forget_pair(struct ibv_qp *pair);
void fake_network_listen(struct rdma_cm_id *id);
void fake_network_connect(struct rdma_cm_id *id, const void *data, uint8_t bytes);
int fake_network_accept(struct rdma_cm_id *id, const void *data, uint8_t bytes);
void fake_network_reject(struct rdma_cm_id *id, const void *data, uint8_t bytes);
void fake_network_disconnect(struct rdma_cm_id *id);
void fake_network_forget(struct rdma_cm_id *id);

/* What the connection manager tells the process: a request for a listener, or something about a connection. */
struct rdma_cm_id *fake_request(struct rdma_cm_id *listener, struct rdma_cm_id *client, const void *data,
                                uint8_t bytes);
void fake_event_for(struct rdma_cm_id *id, uint32_t kind, int status, const void *data, uint8_t bytes);

#endif
