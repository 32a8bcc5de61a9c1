/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues of the fake's network: an event comes only where one was asked for. */
#include "fake_network.h"

#include <stdlib.h>
#include <unistd.h>

struct completion {
    struct completion *next;
    struct ibv_wc wc;
};

/* A completion queue. */
struct fake_queue {
    struct fake_queue *next;
    struct ibv_cq *cq;
    struct completion *first, *last;
    bool is_armed;
    unsigned events;
};

/* Kept in the completion queue, too: found at once. */
static struct fake_queue *queue_of(struct ibv_cq *cq)
{
    if (cq->cq_context)
        return cq->cq_context;
    for (struct fake_queue *queue = fake->network->queues; queue; queue = queue->next)
        if (queue->cq == cq)
            return queue;
    struct fake_queue *made = calloc(1, sizeof(*made));
    made->cq = cq;
    made->next = fake->network->queues;
    cq->cq_context = made;
    return fake->network->queues = made;
}

void fake_network_forget_queue(struct ibv_cq *cq)
{
    for (struct fake_queue **link = &fake->network->queues; *link; link = &(*link)->next) {
        struct fake_queue *queue = *link;
        if (queue->cq != cq)
            continue;
        cq->cq_context = NULL;
        *link = queue->next;
        for (struct completion *one = queue->first, *next; one; one = next) {
            next = one->next;
            free(one);
        }
        free(queue);
        return;
    }
}

static void signal_channel(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one))
        fake_complain("no event on a channel");
}

void fake_network_complete(struct ibv_cq *cq, struct ibv_wc wc)
{
    struct fake_queue *queue = queue_of(cq);
    struct completion *made = calloc(1, sizeof(*made));
    made->wc = wc;
    if (queue->last)
        queue->last->next = made;
    else
        queue->first = made;
    queue->last = made;
    if (!queue->is_armed || !cq->channel)
        return;
    queue->is_armed = false;
    queue->events++;
    signal_channel(cq->channel->fd);
}

int fake_network_poll(struct ibv_cq *cq, int entries, struct ibv_wc *into)
{
    struct fake_queue *queue = queue_of(cq);
    int count = 0;
    while (count < entries && queue->first) {
        struct completion *first = queue->first;
        into[count++] = first->wc;
        if (!(queue->first = first->next))
            queue->last = NULL;
        free(first);
    }
    return count;
}

void fake_network_arm(struct ibv_cq *cq)
{
    queue_of(cq)->is_armed = true;
}

/* The queue that has an event on this channel; NULL where there is none. */
struct ibv_cq *fake_network_event(struct ibv_comp_channel *channel)
{
    struct ibv_cq *found = NULL;
    for (struct fake_queue *queue = fake->network->queues; queue; queue = queue->next) {
        if (queue->cq->channel != channel || !queue->events)
            continue;
        if (found)
            return found;
        queue->events--;
        found = queue->cq;
        if (queue->events)
            return found;
    }
    uint64_t number;
    if (found && read(channel->fd, &number, sizeof(number)) != sizeof(number))
        fake_complain("no event on the completion channel");
    return found;
}

void fake_network_forget_queues(void)
{
    while (fake->network->queues)
        fake_network_forget_queue(fake->network->queues->cq);
}
