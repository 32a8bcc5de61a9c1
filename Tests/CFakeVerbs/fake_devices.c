/* SPDX-License-Identifier: Apache-2.0 */
/* libibverbs: devices, contexts and what is asked of them. */
#include "fake_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ibv_device **ibv_get_device_list(int *count)
{
    int error = fake_failure("ibv_get_device_list");
    if (error) {
        errno = error;
        return NULL;
    }
    struct ibv_device **list = fake_make(
        FAKE_DEVICE_LIST, sizeof(*list) * (FAKE_DEVICES + 1), "ibv_get_device_list", NULL, NULL, NULL);
    for (int i = 0; i < fake->device_count; i++)
        list[i] = &fake->devices[i];
    if (count)
        *count = fake->device_count;
    return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
    fake_destroy(list, FAKE_DEVICE_LIST, "ibv_free_device_list");
}

const char *ibv_get_device_name(struct ibv_device *device)
{
    return device->name;
}

static int query_device(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                        struct ibv_device_attr_ex *attributes, size_t bytes)
{
    (void)context, (void)input;
    int error = fake_failure("ibv_query_device_ex");
    if (error)
        return error;
    memset(attributes, 0, bytes);
    strcpy(attributes->orig_attr.fw_ver, "1.2.3");
    attributes->orig_attr.vendor_id = 0xabcdef;
    attributes->orig_attr.max_mr_size = fake->most_region_bytes;
    attributes->orig_attr.max_mr = fake->most_regions;
    attributes->orig_attr.max_qp_wr = 2000;
    attributes->orig_attr.max_cqe = 32767;
    attributes->orig_attr.phys_port_cnt = fake->port_count;
    attributes->odp_caps.general_caps = fake->odp_general;
    attributes->odp_caps.per_transport_caps.rc_odp_caps = fake->odp_reliable;
    return 0;
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attributes,
                      size_t bytes)
{
    (void)context;
    int error = fake_failure("ibv_query_port");
    if (error || port < 1 || port > fake->port_count)
        return error ? error : EINVAL;
    memset(attributes, 0, bytes);
    attributes->state = fake->ports_down & 1u << port ? IBV_PORT_DOWN : IBV_PORT_ACTIVE;
    attributes->flags = fake->port_flags;
    attributes->active_mtu = fake->port_mtu;
    attributes->gid_tbl_len = 8;
    attributes->lid = 77;
    attributes->link_layer = fake->link_layer;
    return 0;
}

static void fill_gid(int index, union ibv_gid *gid)
{
    for (int i = 0; i < 16; i++)
        gid->raw[i] = (uint8_t)(16 * index + i);
    if (fake->network)
        *gid = (union ibv_gid){.raw = {[10] = 0xff, 0xff, 10, [15] = (uint8_t)index}};
    for (unsigned i = 0; i < fake->gid_count; i++)
        if (fake->gids[i].gid_index == (uint32_t)index)
            *gid = fake->gids[i].gid;
}

int ibv_query_gid(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid)
{
    (void)context, (void)port;
    int error = fake_failure("ibv_query_gid");
    if (error) {
        errno = error;
        return -1;
    }
    fill_gid(index, gid);
    return 0;
}

/* All entries of all ports that are not empty. */
ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries, size_t limit, uint32_t flags,
                             size_t entry_bytes)
{
    (void)context, (void)flags;
    int error = fake_failure("ibv_query_gid_table");
    if (error || entry_bytes != sizeof(*entries))
        return -(error ? error : EINVAL);
    size_t count = 0;
    for (unsigned i = 0; i < fake->gid_count && count < limit; i++)
        entries[count++] = fake->gids[i];
    for (uint32_t index = 0; fake->gid_count == 0 && index < 8 && count < limit; index++) {
        entries[count] = (struct ibv_gid_entry){.gid_index = index, .port_num = 1};
        fill_gid((int)index, &entries[count++].gid);
    }
    return (ssize_t)count;
}

void fake_verbs_set_ports(uint8_t count, uint32_t down, uint8_t flags)
{
    fake->port_count = count;
    fake->ports_down = down;
    fake->port_flags = flags;
}

void fake_verbs_add_gid(uint8_t port, uint32_t index, int is_routable, const uint8_t bytes[16])
{
    if (fake->gid_count == FAKE_QUEUE)
        return;
    struct ibv_gid_entry *entry = &fake->gids[fake->gid_count++];
    *entry = (struct ibv_gid_entry){
        .gid_index = index, .port_num = port, .gid_type = is_routable ? IBV_GID_TYPE_ROCE_V2 : IBV_GID_TYPE_ROCE_V1};
    memcpy(entry->gid.raw, bytes, 16);
}

/* The events of the connection manager's device. */
static int fake_device_channel(void)
{
    if (fake->device_channel < 0)
        fake->device_channel = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    return fake->device_channel;
}

void fake_verbs_device_event(uint32_t kind)
{
    uint64_t one = 1;
    if (fake->device_event_count == FAKE_QUEUE || write(fake_device_channel(), &one, sizeof(one)) != sizeof(one))
        return fake_complain("no event of the device");
    fake->device_events[fake->device_event_count++] = kind;
}

int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
    uint64_t number;
    if (!fake->device_event_count || read(context->async_fd, &number, sizeof(number)) != sizeof(number)) {
        errno = EAGAIN;
        return -1;
    }
    *event = (struct ibv_async_event){.event_type = fake->device_events[0]};
    memmove(fake->device_events, fake->device_events + 1, --fake->device_event_count * sizeof(uint32_t));
    fake->unacknowledged_device_events++;
    return 0;
}

void ibv_ack_async_event(struct ibv_async_event *event)
{
    (void)event;
    fake->unacknowledged_device_events--;
}

struct ibv_context *fake_context(struct ibv_device *device, bool counted)
{
    struct verbs_context *made = counted
        ? fake_make(FAKE_CONTEXT, sizeof(*made), "ibv_open_device", NULL, NULL, NULL)
        : calloc(1, sizeof(*made));
    made->sz = sizeof(*made);
    made->query_device_ex = query_device;
    made->query_port = query_port;
    made->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
    made->context.device = device;
    made->context.cmd_fd = fake->command_file;
    made->context.async_fd = counted ? -1 : fake_device_channel();
    fake_fill_operations(&made->context.ops);
    fake_fill_device_memory(made);
    return &made->context;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
    int error = fake_failure("ibv_open_device");
    if (error) {
        errno = error;
        return NULL;
    }
    return fake_context(device, true);
}

/* The object is the whole verbs_context; the caller holds the context at its end. */
void *fake_context_object(struct ibv_context *context)
{
    return (uint8_t *)context - offsetof(struct verbs_context, context);
}

int ibv_close_device(struct ibv_context *context)
{
    return fake_destroy(fake_context_object(context), FAKE_CONTEXT, "ibv_close_device") ? -1 : 0;
}
