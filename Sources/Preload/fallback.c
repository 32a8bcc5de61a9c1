/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registration that libibverbs refused, done by PeerMR where the memory is p2pmem, a dma-buf or a vfio device's BAR
 * that the program has mapped. The region that comes of it is a plain one of libibverbs, and the program's to
 * deregister.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peermr.h"
#include "watch.h"

#ifndef PEERMR_LIBRARY
#define PEERMR_LIBRARY "libpeermr.so.0"
#endif

/* What is used of libpeermr, once it is loaded; register_address is NULL where that failed. */
static struct {
    __typeof__(&peermr_register_address) register_address;
    __typeof__(&peermr_region_info) region_info;
    __typeof__(&peermr_region_detach) region_detach;
    __typeof__(&peermr_deregister) deregister;
    __typeof__(&peermr_last_error) last_error;
    __typeof__(&peermr_method_name) method_name;
    const void *base;
    char trouble[256];
} library;

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void load_library(void)
{
    /* Beside this library first: the Makefile has put $ORIGIN into its search path. It is never unloaded again. */
    void *handle = dlopen(PEERMR_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const char *trouble = handle ? NULL : dlerror();
    Dl_info info;
    if (handle) {
        library.region_info = (__typeof__(library.region_info))dlsym(handle, "peermr_region_info");
        library.region_detach = (__typeof__(library.region_detach))dlsym(handle, "peermr_region_detach");
        library.deregister = (__typeof__(library.deregister))dlsym(handle, "peermr_deregister");
        library.last_error = (__typeof__(library.last_error))dlsym(handle, "peermr_last_error");
        library.method_name = (__typeof__(library.method_name))dlsym(handle, "peermr_method_name");
        void *call = dlsym(handle, "peermr_register_address");
        if (call && library.region_info && library.region_detach && library.deregister && library.last_error
            && library.method_name && dladdr(call, &info)) {
            library.base = info.dli_fbase;
            library.register_address = (__typeof__(library.register_address))call;
        } else {
            trouble = PEERMR_LIBRARY " lacks calls: install the library and this one of one version";
        }
    }
    snprintf(library.trouble, sizeof(library.trouble), "%s", trouble ? trouble : "");
    /* The text is gone with the next call: what the program asks for later shall not be about us. */
    (void)dlerror();
}

/* Whether a port of the device is up whose packets can be of this size, which a path's MTU needs. */
static bool has_port_with_mtu(struct ibv_context *context, uint32_t bytes)
{
    struct verbs_context *calls = verbs_get_ctx_op(context, query_port);
    for (unsigned port = 1; calls && port < 255; port++) {
        struct ibv_port_attr attributes = {0};
        if (calls->query_port(context, (uint8_t)port, &attributes, sizeof(attributes)) != 0)
            return false;
        if (attributes.state == IBV_PORT_ACTIVE && 128u << attributes.active_mtu == bytes)
            return true;
    }
    return false;
}

/*
 * Whether every transfer through the region is correct, or the user guarantees the transfers that are: work requests,
 * and those of peers, cannot be checked here.
 */
static bool is_usable(const struct refused *refused, const struct peermr_region_info *info)
{
    const char *device = refused->pd->context->device->name;
    if (info->alignment <= 1 && info->path_mtu == 0)
        return true;
    if (info->path_mtu != 0 && info->alignment > info->path_mtu) {
        preload_log(refused, "left at that: %s moves data of this memory rightly only from multiples of %" PRIu64
                    " bytes on, and its packets have %" PRIu32 ", so that most begin in between", device,
                    info->alignment, info->path_mtu);
        return false;
    }
    if (info->io_address % info->alignment != 0) {
        preload_log(refused, "left at that: %s moves data of this memory rightly only from multiples of %" PRIu64
                    " bytes on, and the region begins in between", device, info->alignment);
        return false;
    }
    if (info->path_mtu != 0 && !has_port_with_mtu(refused->pd->context, info->path_mtu)) {
        preload_log(refused, "left at that: %s moves data of this memory rightly only in packets of %" PRIu32
                    " bytes, and has no port with that MTU; set the MTU of its network interface to 4200", device,
                    info->path_mtu);
        return false;
    }
    if (!preload_is_set("PEERMR_WHOLE_PAGES")) {
        preload_log(refused, "left at that: %s would move data of this memory wrongly, and report success, unless "
                    "every request to and from it begins on a multiple of %" PRIu64 " bytes, with a path MTU of %"
                    PRIu32 "; set PEERMR_WHOLE_PAGES=1 where the peers keep to that, whose requests cannot be watched "
                    "from here, as those of this program then are", device, info->alignment, info->path_mtu);
        return false;
    }
    return true;
}

/* Has the watch look after the region, where it needs that; false where the program must not get it. */
static bool is_guarded(const struct refused *refused, const struct peermr_region_info *info, struct ibv_mr *made)
{
    uint32_t packet;
    if (info->alignment <= 1 && info->path_mtu == 0)
        return true;
    if (watch_guard(made, info->io_address, info->alignment, &packet)) {
        static atomic_flag is_said = ATOMIC_FLAG_INIT;
        if (watch_mode() != WATCH_OFF)
            preload_log_once(&is_said, "this process's own requests to regions that %s pages on demand are watched; "
                             "those of peers are not seen here: run them with PEERMR_WATCH=report",
                             refused->pd->context->device->name);
        return true;
    }
    if (packet)
        preload_log(refused, "left at that: a queue pair of its protection domain has a path MTU of %" PRIu32
                    " bytes, in which %s would move data of this memory wrongly", packet,
                    refused->pd->context->device->name);
    else
        preload_log(refused, "left at that: there is no memory to watch over it");
    return false;
}

static bool is_mlx5(const struct ibv_context *context)
{
    Dl_info info;
    const void *call = (const void *)context->ops.poll_cq;
    return (call && dladdr(call, &info) && info.dli_fname && strstr(info.dli_fname, "libmlx5"))
           || strncmp(context->device->name, "mlx5_", 5) == 0;
}

/*
 * Engines have reasons of their own against on-demand paging. On mlx5, UCX takes none where the NIC may place data out
 * of order (its uct_ib_mlx5_md_check_odp_common), which is not seen from here: the user decides.
 */
static bool may_page_on_demand(const struct refused *refused)
{
    const char *value = secure_getenv("PEERMR_ON_DEMAND");
    if (value && strcmp(value, "0") == 0) {
        preload_log(refused, "left at that: only on-demand paging could register it, and PEERMR_ON_DEMAND=0 is set");
        return false;
    }
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    if (is_mlx5(refused->pd->context))
        preload_log_once(&is_said, "%s pages peer memory on demand, against what engines such as UCX choose by "
                         "themselves where a NIC places data out of order or has an old version of it; "
                         "PEERMR_ON_DEMAND=0 leaves it unregistered", refused->pd->context->device->name);
    return true;
}

/* Deregisters a region that the program must not get. */
static struct ibv_mr *withdraw(struct peermr_region *region)
{
    (void)library.deregister(region);
    return NULL;
}

static struct ibv_mr *detach(const struct refused *refused, struct peermr_region *region)
{
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct ibv_mr *made;
    if (library.region_info(region, &info) != PEERMR_OK)
        return withdraw(region);
    if (info.kind != PEERMR_KIND_P2PMEM && info.kind != PEERMR_KIND_DMABUF) {
        preload_log(refused, "left at that: it is memory of the host");
        return withdraw(region);
    }
    if (!is_usable(refused, &info) || (info.method == PEERMR_METHOD_ON_DEMAND && !may_page_on_demand(refused)))
        return withdraw(region);
    const char *method = library.method_name(info.method);
    char provider[32];
    snprintf(provider, sizeof(provider), "%s", info.provider_bdf ? info.provider_bdf : "");
    if (library.region_detach(region, &made) != PEERMR_OK)
        return withdraw(region);
    /* As ibv_reg_mr leaves them; of a dma-buf they would be its own offset and whole pages. */
    made->addr = refused->address;
    made->length = refused->length;
    if (!is_guarded(refused, &info, made)) {
        (void)ibv_dereg_mr(made);
        return NULL;
    }
    preload_log(refused, "it is %s%s%s; registered by the method %s instead, with lkey 0x%" PRIx32 " and rkey 0x%"
                PRIx32, info.kind == PEERMR_KIND_P2PMEM ? "p2pmem" : "a dma-buf", provider[0] ? " of " : "", provider,
                method, made->lkey, made->rkey);
    return made;
}

/* Peer memory; with PEERMR_VERBOSE also a driver's mapping, to explain why it cannot be registered. */
static bool should_try(const struct refused *refused)
{
    switch (preload_classify(refused)) {
    case MAPPING_PEER:
        return true;
    case MAPPING_DEVICE:
        return preload_is_set("PEERMR_VERBOSE");
    case MAPPING_HOST:
        preload_log(refused, "left at that: it is memory of the host");
        return false;
    case MAPPING_NONE:
        preload_log(refused, "left at that: not all of it is mapped");
        return false;
    }
    return false;
}

struct ibv_mr *preload_fallback(const struct refused *refused)
{
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    struct peermr_error error = PEERMR_ERROR_INIT;
    struct peermr_region *region = NULL;
    Dl_info caller;

    /* Nothing at all, and all of the address space (implicit on-demand paging), are no memory of anyone's. */
    if (!refused->pd || refused->length == 0 || refused->length == SIZE_MAX)
        return NULL;
    if (refused->access & IBV_ACCESS_ZERO_BASED) {
        preload_log(refused, "left at that: addresses from zero on are not what PeerMR does");
        return NULL;
    }
    if (!should_try(refused))
        return NULL;
    pthread_once(&library_once, load_library);
    if (!library.register_address) {
        preload_log(refused, "left at that: PeerMR cannot be loaded: %s", library.trouble);
        return NULL;
    }
    /* The program may use libpeermr itself: what that tried is its own to explain. */
    if (dladdr(refused->caller, &caller) && caller.dli_fbase == library.base)
        return NULL;
    options.access = refused->access;
    /* Of several vfio devices with such a BAR, which it is. */
    options.provider_bdf = secure_getenv("PEERMR_PROVIDER");
    if (refused->iova != (uintptr_t)refused->address) {
        options.flags |= PEERMR_OPTION_IO_ADDRESS;
        options.io_address = refused->iova;
    }
    if (library.register_address(refused->pd, refused->address, refused->length, &options, &region) != PEERMR_OK) {
        if (library.last_error(&error) == PEERMR_OK)
            preload_log(refused, "PeerMR cannot register it either: %s", error.message);
        return NULL;
    }
    return detach(refused, region);
}
