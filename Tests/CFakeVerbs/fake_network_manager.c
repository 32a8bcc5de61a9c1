/* SPDX-License-Identifier: Apache-2.0 */
/* The connection manager of the fake's network: what one end says is heard at the other when the test lets it. */
#include "fake_network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void say(struct fake_end *to, uint32_t kind, int status, const void *data, uint8_t bytes)
{
    if (!to || (!to->id && !to->listener))
        return;
    struct fake_word *made = calloc(1, sizeof(*made));
    made->kind = kind;
    made->status = status;
    made->bytes = bytes;
    if (bytes)
        memcpy(made->data, data, bytes);
    struct fake_word **link = &to->words;
    while (*link)
        link = &(*link)->next;
    *link = made;
}

/* The device goes: everyone who has something of it is told. */
void fake_network_remove_device(void)
{
    for (struct fake_end *end = fake->network->ends; end; end = end->next) {
        if (end->id)
            fake_event_for(end->id, RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
        fake_network_fail(end, IBV_WC_WR_FLUSH_ERR);
    }
}

void fake_network_break(void)
{
    for (struct fake_end *end = fake->network->ends; end; end = end->next) {
        if (!end->is_accepted || end->is_over)
            continue;
        fake_network_fail(end, IBV_WC_RETRY_EXC_ERR);
        end->is_over = true;
        say(end, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    }
}

static bool is_same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

void fake_network_listen(struct rdma_cm_id *id)
{
    fake_end_of(id)->is_listening = true;
}

void fake_network_connect(struct rdma_cm_id *id, const void *data, uint8_t bytes)
{
    struct fake_end *client = fake_end_of(id);
    client->pair = id->qp;
    for (struct fake_end *end = fake->network->ends; end; end = end->next) {
        if (!end->is_listening || !end->id || !is_same_address(&end->id->route.addr.src_sin, &id->route.addr.dst_sin))
            continue;
        struct fake_end *made = calloc(1, sizeof(*made));
        made->peer = client;
        client->peer = made;
        made->next = fake->network->ends;
        fake->network->ends = made;
        made->listener = end->id;
        say(made, RDMA_CM_EVENT_CONNECT_REQUEST, 0, data, bytes);
        return;
    }
    say(client, RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
}

int fake_network_accept(struct rdma_cm_id *id, const void *data, uint8_t bytes)
{
    struct fake_end *end = fake_end_of(id);
    end->pair = id->qp;
    if (!end->peer || !end->peer->id) {
        errno = EINVAL;
        return -1;
    }
    end->is_accepted = end->peer->is_accepted = true;
    say(end->peer, RDMA_CM_EVENT_ESTABLISHED, 0, data, bytes);
    return 0;
}

void fake_network_reject(struct rdma_cm_id *id, const void *data, uint8_t bytes)
{
    struct fake_end *end = fake_end_of(id);
    if (end->is_accepted || end->is_over)
        return;
    end->is_over = true;
    say(end->peer, RDMA_CM_EVENT_REJECTED, 28, data, bytes);
}

static void end_connection(struct fake_end *end, bool tells_itself)
{
    if (end->is_over || !end->is_accepted)
        return;
    end->is_over = true;
    say(end->peer, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    if (tells_itself)
        say(end, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
}

void fake_network_disconnect(struct rdma_cm_id *id)
{
    struct fake_end *end = fake_end_of(id);
    if (!end->is_accepted)
        return;
    fake_network_fail(end, IBV_WC_WR_FLUSH_ERR);
    end_connection(end, true);
}

void fake_network_forget(struct rdma_cm_id *id)
{
    struct fake_end *end = fake_end_of(id);
    if (end->peer && !end->is_accepted)
        fake_network_reject(id, NULL, 0);
    end_connection(end, false);
    end->id = NULL;
    end->is_listening = false;
}

void fake_network_hear(struct fake_end *end)
{
    struct fake_word *word = end->words;
    end->words = word->next;
    if (word->kind == RDMA_CM_EVENT_CONNECT_REQUEST && fake_end_of(end->listener)->is_listening)
        end->id = fake_request(end->listener, end->peer->id, word->data, word->bytes);
    else if (word->kind == RDMA_CM_EVENT_CONNECT_REQUEST)
        say(end->peer, RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    else if (end->id)
        fake_event_for(end->id, word->kind, word->status, word->data, word->bytes);
    /* The active side knows first: what it sends may overtake the news. */
    if (word->kind == RDMA_CM_EVENT_ESTABLISHED && word->bytes && end->id)
        say(end->peer, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0);
    end->listener = NULL;
    free(word);
}
