/* SPDX-License-Identifier: Apache-2.0 */
/* librdmacm. */
#include "fake_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* -1 and errno when the call shall fail, else 0. */
static int outcome(const char *call)
{
    int error = fake_failure(call);
    if (!error)
        return 0;
    errno = error;
    return -1;
}

struct rdma_event_channel *rdma_create_event_channel(void)
{
    if (outcome("rdma_create_event_channel"))
        return NULL;
    struct rdma_event_channel *channel = fake_make(
        FAKE_EVENT_CHANNEL, sizeof(*channel), "rdma_create_event_channel", NULL, NULL, NULL);
    channel->fd = fake_failure("fcntl") ? -1 : eventfd(0, EFD_CLOEXEC);
    fake->event_channel = channel;
    return channel;
}

/* Without a network all events are for whoever asks. */
static unsigned first_of(const struct rdma_event_channel *channel)
{
    unsigned at = 0;
    while (fake->network && at < fake->event_count && fake->events[at]->channel != channel)
        at++;
    return at;
}

/* After the last event of a channel its descriptor is no longer readable. */
static void clear_channel(struct rdma_event_channel *channel)
{
    uint64_t number;
    if (first_of(channel) >= fake->event_count && read(channel->fd, &number, sizeof(number)) != sizeof(number))
        fake_complain("no event on the event channel");
}

/* Events that nobody has taken: about one connection, or of a whole channel. */
static void drop_events(struct rdma_event_channel *channel, struct rdma_cm_id *id)
{
    for (unsigned i = 0; i < fake->event_count;) {
        struct fake_event *made = fake->events[i];
        if (channel ? made->channel != channel : made->event.id != id) {
            i++;
            continue;
        }
        fake->event_count--;
        memmove(fake->events + i, fake->events + i + 1, (fake->event_count - i) * sizeof(made));
        /* First, because more events may go with the request. */
        clear_channel(made->channel);
        if (channel && made->event.event == RDMA_CM_EVENT_CONNECT_REQUEST)
            rdma_destroy_id(made->event.id);
        free(made);
        i = 0;
    }
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
    if (fake && fake->network)
        drop_events(channel, NULL);
    if (!fake_destroy(channel, FAKE_EVENT_CHANNEL, "rdma_destroy_event_channel") && channel->fd >= 0)
        close(channel->fd);
}

static struct rdma_cm_id *make_id(struct rdma_event_channel *channel, const char *call)
{
    struct rdma_cm_id *id = fake_make(FAKE_CONNECTION, sizeof(*id), call, channel, NULL, NULL);
    id->channel = channel;
    id->ps = RDMA_PS_TCP;
    fake->last_id = id;
    return id;
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
                   enum rdma_port_space space)
{
    (void)context, (void)space;
    if (outcome("rdma_create_id"))
        return -1;
    *id = make_id(channel, "rdma_create_id");
    return 0;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
    if (fake && id->qp)
        fake_complain("rdma_destroy_id: its queue pair still lives");
    if (fake && fake->network) {
        drop_events(NULL, id);
        fake_network_forget(id);
    }
    int error = fake_destroy(id, FAKE_CONNECTION, "rdma_destroy_id");
    if (fake && fake->last_id == id)
        fake->last_id = NULL;
    return error ? -1 : 0;
}

/* Binds the endpoint to the manager's own context, which stays open until the end. */
static void attach(struct rdma_cm_id *id)
{
    if (!fake->device_count)
        return;
    if (!fake->manager_context)
        fake->manager_context = fake_context(&fake->devices[0], false);
    id->verbs = fake->manager_context;
    id->port_num = 1;
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *address)
{
    if (outcome("rdma_bind_addr"))
        return -1;
    memcpy(&id->route.addr.src_storage, address, sizeof(struct sockaddr_in));
    attach(id);
    return 0;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
    (void)backlog;
    if (outcome("rdma_listen"))
        return -1;
    if (fake->network)
        fake_network_listen(id);
    return 0;
}

static void set_address(struct sockaddr_in *address, const char *text)
{
    address->sin_family = AF_INET;
    inet_pton(AF_INET, text, &address->sin_addr);
}

static void resolved(struct rdma_cm_id *id, uint32_t kind)
{
    if (fake->network)
        fake_event_for(id, kind, 0, NULL, 0);
    else if (!fake->event_count)
        fake_verbs_event(kind, 0, NULL, 0);
}

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *source, struct sockaddr *target,
                      int milliseconds)
{
    (void)milliseconds;
    if (outcome("rdma_resolve_addr"))
        return -1;
    if (source)
        memcpy(&id->route.addr.src_storage, source, sizeof(struct sockaddr_in));
    else if (fake->network)
        set_address(&id->route.addr.src_sin, "10.0.0.7");
    memcpy(&id->route.addr.dst_storage, target, sizeof(struct sockaddr_in));
    attach(id);
    resolved(id, RDMA_CM_EVENT_ADDR_RESOLVED);
    return 0;
}

int rdma_resolve_route(struct rdma_cm_id *id, int milliseconds)
{
    (void)milliseconds;
    if (outcome("rdma_resolve_route"))
        return -1;
    resolved(id, RDMA_CM_EVENT_ROUTE_RESOLVED);
    return 0;
}

static struct fake_event *make_event(uint32_t kind, int status, const void *data, uint8_t bytes)
{
    struct fake_event *made = calloc(1, sizeof(*made));
    made->event.event = kind;
    made->event.status = status;
    if (data)
        memcpy(made->data, data, bytes);
    made->event.param.conn.private_data = data ? made->data : NULL;
    made->event.param.conn.private_data_len = bytes;
    return made;
}

/* A request brings a connection of its own, from a peer's address. */
static void make_request(struct rdma_cm_event *event)
{
    struct rdma_cm_id *listener = fake->last_id;
    event->listen_id = listener;
    event->id = make_id(fake->event_channel, "connection request");
    fake->last_id = listener;
    attach(event->id);
    set_address(&event->id->route.addr.dst_sin, "10.0.0.7");
}

static void push_to(struct rdma_event_channel *channel, struct fake_event *made)
{
    if (fake->event_count == FAKE_QUEUE) {
        fake_complain("more events than the fake holds");
        return free(made);
    }
    made->channel = channel;
    fake->events[fake->event_count++] = made;
    uint64_t one = 1;
    if (write(channel->fd, &one, sizeof(one)) != sizeof(one))
        fake_complain("no event on the event channel");
}

static void push(struct fake_event *made)
{
    made->event.id = fake->last_id;
    if (made->event.event == RDMA_CM_EVENT_CONNECT_REQUEST && fake->event_count < FAKE_QUEUE)
        make_request(&made->event);
    push_to(fake->event_channel, made);
}

void fake_event_for(struct rdma_cm_id *id, uint32_t kind, int status, const void *data, uint8_t bytes)
{
    struct fake_event *made = make_event(kind, status, bytes ? data : NULL, bytes);
    made->event.id = id;
    push_to(id->channel, made);
}

struct rdma_cm_id *fake_request(struct rdma_cm_id *listener, struct rdma_cm_id *client, const void *data,
                                uint8_t bytes)
{
    struct rdma_cm_id *id = make_id(listener->channel, "connection request");
    attach(id);
    id->route.addr.src_sin = listener->route.addr.src_sin;
    id->route.addr.dst_sin = client ? client->route.addr.src_sin : (struct sockaddr_in){.sin_family = AF_INET};
    if (fake->claim)
        set_address(&id->route.addr.dst_sin, fake->claim);
    struct fake_event *made = make_event(RDMA_CM_EVENT_CONNECT_REQUEST, 0, data, bytes);
    made->event.listen_id = listener;
    made->event.id = id;
    push_to(listener->channel, made);
    return id;
}

void fake_verbs_event(uint32_t kind, int status, const void *private_data, uint8_t bytes)
{
    push(make_event(kind, status, private_data, bytes));
}

void fake_verbs_event_without_data(uint32_t kind, uint8_t bytes)
{
    push(make_event(kind, 0, NULL, bytes));
}

void fake_verbs_event_after_connect(uint32_t kind, int status, const void *private_data, uint8_t bytes)
{
    if (fake->later_count == FAKE_QUEUE)
        return fake_complain("more events than the fake holds");
    fake->later[fake->later_count++] = make_event(kind, status, private_data, bytes);
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
    if (outcome("rdma_get_cm_event"))
        return -1;
    unsigned at = first_of(channel);
    if (at >= fake->event_count) {
        errno = EAGAIN;
        return -1;
    }
    struct fake_event *first = fake->events[at];
    fake->event_count--;
    memmove(fake->events + at, fake->events + at + 1, (fake->event_count - at) * sizeof(first));
    struct fake_event *given =
        fake_make(FAKE_CONNECTION_EVENT, sizeof(*given), "rdma_get_cm_event", channel, NULL, NULL);
    *given = *first;
    if (given->event.param.conn.private_data)
        given->event.param.conn.private_data = given->data;
    free(first);
    clear_channel(channel);
    *event = &given->event;
    return 0;
}

/* The event's memory is the library's again: whoever still looks at it sees this. */
int rdma_ack_cm_event(struct rdma_cm_event *event)
{
    int error = fake_destroy(event, FAKE_CONNECTION_EVENT, "rdma_ack_cm_event");
    memset(event, 0xdd, sizeof(struct fake_event));
    return error;
}

int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *wanted)
{
    if (outcome("rdma_create_qp"))
        return -1;
    id->qp = ibv_create_qp(pd, wanted);
    if (fake->network && id->qp)
        fake_network_adopt(id);
    return id->qp ? 0 : -1;
}

void rdma_destroy_qp(struct rdma_cm_id *id)
{
    if (!fake_check(id, FAKE_CONNECTION, "rdma_destroy_qp"))
        return;
    fake_note("rdma_destroy_qp");
    ibv_destroy_qp(id->qp);
    id->qp = NULL;
}

static int carry(const char *call, const void *data, uint8_t bytes)
{
    if (outcome(call))
        return -1;
    fake_note("%s", call);
    if (bytes)
        memcpy(fake->private_data, data, bytes);
    fake->private_bytes = bytes;
    return 0;
}

int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *parameters)
{
    for (unsigned i = 0; fake && i < fake->later_count; i++)
        push(fake->later[i]);
    if (fake)
        fake->later_count = 0;
    int result = carry("rdma_connect", parameters->private_data, parameters->private_data_len);
    if (!result && fake->network)
        fake_network_connect(id, parameters->private_data, parameters->private_data_len);
    return result;
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *parameters)
{
    int result = carry("rdma_accept", parameters->private_data, parameters->private_data_len);
    if (result || !fake->network)
        return result;
    return fake_network_accept(id, parameters->private_data, parameters->private_data_len);
}

int rdma_init_qp_attr(struct rdma_cm_id *id, struct ibv_qp_attr *attributes, int *mask)
{
    if (outcome("rdma_init_qp_attr"))
        return -1;
    fake_fill_path(&attributes->ah_attr, id);
    *mask = IBV_QP_STATE | IBV_QP_AV;
    return 0;
}

int rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t bytes)
{
    int result = carry("rdma_reject", data, bytes);
    if (!result && fake->network)
        fake_network_reject(id, data, bytes);
    return result;
}

int rdma_disconnect(struct rdma_cm_id *id)
{
    if (!fake_check(id, FAKE_CONNECTION, "rdma_disconnect"))
        return -1;
    int result = carry("rdma_disconnect", NULL, 0);
    if (!result && fake->network)
        fake_network_disconnect(id);
    return result;
}

int rdma_set_option(struct rdma_cm_id *id, int level, int option, void *value, size_t bytes)
{
    (void)id;
    if (outcome("rdma_set_option"))
        return -1;
    if (level == RDMA_OPTION_ID && option == RDMA_OPTION_ID_ACK_TIMEOUT && bytes == 1)
        fake->acknowledge_timeout = *(uint8_t *)value;
    return 0;
}

uint8_t fake_verbs_private_data(uint8_t *into, uint8_t limit)
{
    memcpy(into, fake->private_data, fake->private_bytes < limit ? fake->private_bytes : limit);
    return fake->private_bytes;
}

int fake_verbs_acknowledge_timeout(void)
{
    return fake->acknowledge_timeout;
}
