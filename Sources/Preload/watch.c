/* SPDX-License-Identifier: Apache-2.0 */
/* What the watch knows: the regions that have to be guarded, their devices, and the queue pairs of the program. */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"
#include "table.h"

/* By context and local key; by remote key; by queue pair. */
static struct table regions = TABLE_INIT, remotes = TABLE_INIT, pairs = TABLE_INIT;

/* Held while a context gets the watch, and over the lists of what may be used again. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watched *_Atomic contexts;
static struct guarded *free_regions;
static struct pair *free_pairs;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum watch_mode mode;

/* Nobody holds a lock of ours while a process is copied. */
static void hold(void)
{
    table_hold(&regions);
    table_hold(&remotes);
    table_hold(&pairs);
    pthread_mutex_lock(&lock);
    preload_hold_places();
}

static void release(void)
{
    preload_release_places();
    pthread_mutex_unlock(&lock);
    table_release(&pairs);
    table_release(&remotes);
    table_release(&regions);
}

static void release_in_child(void)
{
    release();
    watch_reset_counts();
}

static void read_environment(void)
{
    const char *value = secure_getenv("PEERMR_WATCH");
    bool is_promised = preload_is_set("PEERMR_WHOLE_PAGES");
    mode = is_promised ? WATCH_REFUSE : WATCH_OFF;
    if (value && strcmp(value, "report") == 0)
        mode = WATCH_REPORT;
    else if (value && strcmp(value, "refuse") == 0)
        mode = WATCH_REFUSE;
    else if (value && strcmp(value, "off") == 0)
        mode = WATCH_OFF;
    else if (value && value[0])
        preload_print("PEERMR_WATCH: '%s' is none of refuse, report and off, and has no effect", value);
}

/* Before anything is looked up: a child of another thread's fork inherits locks as they are. */
__attribute__((constructor)) static void watch_forks(void)
{
    (void)pthread_atfork(hold, release, release_in_child);
}

enum watch_mode watch_mode(void)
{
    pthread_once(&once, read_environment);
    return mode;
}

/* Regions */

struct guarded *watch_region(struct ibv_context *context, uint32_t lkey, uint64_t address)
{
    struct guarded *found = table_find(&regions, (uintptr_t)context, lkey);
    return found && found->first <= address && address <= found->last ? found : NULL;
}

struct guarded *watch_own(uint32_t rkey, uint64_t address)
{
    struct guarded *found = table_find(&remotes, rkey, 1);
    return found && found->first <= address && address <= found->last ? found : NULL;
}

static void add(struct guarded *guarded)
{
    (void)table_put(&regions, (uintptr_t)guarded->context, guarded->lkey, guarded);
    if (guarded->rkey != 0)
        (void)table_put(&remotes, guarded->rkey, 1, guarded);
}

struct guarded *watch_forget(struct ibv_mr *region)
{
    struct guarded *found = table_take(&regions, (uintptr_t)region->context, region->lkey);
    if (found && found->rkey != 0 && table_find(&remotes, found->rkey, 1) == found)
        (void)table_take(&remotes, found->rkey, 1);
    return found;
}

void watch_restore(struct guarded *guarded)
{
    add(guarded);
}

void watch_discard(struct guarded *guarded)
{
    pthread_mutex_lock(&lock);
    guarded->next = free_regions;
    free_regions = guarded;
    pthread_mutex_unlock(&lock);
}

static struct guarded *new_region(void)
{
    pthread_mutex_lock(&lock);
    struct guarded *made = free_regions;
    if (made)
        free_regions = made->next;
    pthread_mutex_unlock(&lock);
    return made ? made : calloc(1, sizeof(*made));
}

/* Contexts */

struct watched *watch_context(struct ibv_context *context)
{
    struct watched *same = NULL, *first = atomic_load_explicit(&contexts, memory_order_acquire);
    for (struct watched *each = first; each; each = each->next) {
        if (each->context == context)
            return each;
        if (context && each->context->device == context->device)
            same = each;
    }
    /* Somebody has copied the calls of a context into another one. */
    return same ? same : first;
}

/* Puts the watch into a context, unless it is there; false without memory. */
static bool enter(struct ibv_context *context)
{
    struct watched *watched = NULL;
    bool is_in = true;
    pthread_mutex_lock(&lock);
    for (struct watched *each = contexts; each && !watched; each = each->next)
        watched = each->context == context ? each : NULL;
    if (!watched) {
        watched = calloc(1, sizeof(*watched));
        is_in = watched != NULL;
        if (is_in) {
            watched->context = context;
            watched->next = contexts;
            atomic_store_explicit(&contexts, watched, memory_order_release);
        }
    }
    if (is_in)
        watch_enter(watched);
    pthread_mutex_unlock(&lock);
    return is_in;
}

/* Queue pairs */

static bool is_connected_type(const struct ibv_qp *qp)
{
    return qp->qp_type == IBV_QPT_RC || qp->qp_type == IBV_QPT_UC;
}

static struct pair *pair_of(struct ibv_qp *qp)
{
    struct pair *pair = table_find(&pairs, (uintptr_t)qp, 0);
    if (pair && pair->number == qp->qp_num)
        return pair;
    if (pair)
        (void)table_take(&pairs, (uintptr_t)qp, 0);
    pthread_mutex_lock(&lock);
    pair = free_pairs;
    if (pair)
        free_pairs = pair->next;
    pthread_mutex_unlock(&lock);
    if (!pair)
        pair = calloc(1, sizeof(*pair));
    if (!pair)
        return NULL;
    pair->qp = qp;
    pair->pd = qp->pd;
    pair->context = qp->context;
    pair->number = qp->qp_num;
    atomic_store_explicit(&pair->packet, 0, memory_order_relaxed);
    return table_put(&pairs, (uintptr_t)qp, 0, pair) ? pair : NULL;
}

/* What a queue pair has been connected with, for one that was never seen to be modified. */
static uint32_t ask_packet(struct ibv_qp *qp, uint32_t fallback)
{
    struct ibv_qp_attr attributes = {0};
    struct ibv_qp_init_attr init;
    __typeof__(&ibv_query_qp) call = (__typeof__(&ibv_query_qp))preload_next("ibv_query_qp", "IBVERBS_1.1", NULL,
                                                                             qp->context);
    int before = errno;
    bool is_known = call && call(qp, &attributes, IBV_QP_STATE | IBV_QP_PATH_MTU, &init) == 0
                    && attributes.qp_state != IBV_QPS_RESET && attributes.qp_state != IBV_QPS_INIT
                    && attributes.path_mtu >= IBV_MTU_256 && attributes.path_mtu <= IBV_MTU_4096;
    uint32_t packet = is_known ? 128u << attributes.path_mtu : fallback;
    /* Not each time: it is a system call. */
    struct pair *pair = is_known ? pair_of(qp) : NULL;
    if (pair)
        atomic_store_explicit(&pair->packet, packet, memory_order_relaxed);
    errno = before;
    return packet;
}

uint32_t watch_packet(struct ibv_qp *qp, uint32_t fallback)
{
    struct pair *pair = table_find(&pairs, (uintptr_t)qp, 0);
    bool is_it = pair && pair->number == qp->qp_num;
    uint32_t packet = is_it ? atomic_load_explicit(&pair->packet, memory_order_relaxed) : 0;
    if (packet != 0)
        return packet;
    return is_it || !is_connected_type(qp) ? fallback : ask_packet(qp, fallback);
}

struct pair *watch_pair(struct ibv_qp *qp)
{
    return table_find(&pairs, (uintptr_t)qp, 0);
}

/* A domain and a page, for the search for a queue pair with packets that are smaller. */
struct wanted {
    struct ibv_pd *pd;
    uint64_t page;
    uint32_t packet;
};

static bool has_small_packets(void *value, void *argument)
{
    struct pair *pair = value;
    struct wanted *wanted = argument;
    uint32_t packet = atomic_load_explicit(&pair->packet, memory_order_relaxed);
    wanted->packet = packet;
    return pair->pd == wanted->pd && packet != 0 && packet % wanted->page != 0;
}

static bool is_of_domain(void *value, void *argument)
{
    struct guarded *guarded = value;
    struct wanted *wanted = argument;
    return guarded->pd == wanted->pd && wanted->packet % guarded->page != 0;
}

typedef struct ibv_qp_ex *convert_pair(struct ibv_qp *);

/* A device's context, and its ibv_qp_to_qp_ex; NULL where libibverbs has none. */
struct device {
    struct ibv_context *context;
    convert_pair *convert;
};

static convert_pair *converter(struct ibv_context *context, const void *caller)
{
    return (convert_pair *)preload_next("ibv_qp_to_qp_ex", "IBVERBS_1.6", caller, context);
}

static bool extend(void *value, void *argument)
{
    struct pair *pair = value;
    struct device *device = argument;
    if (pair->context == device->context)
        watch_extended(pair, device->convert);
    return false;
}

bool watch_guard(struct ibv_mr *region, uint64_t first, uint64_t page, uint32_t *packet)
{
    struct wanted wanted = {.pd = region->pd, .page = page};
    *packet = 0;
    if (watch_mode() == WATCH_OFF)
        return true;
    if (table_any(&pairs, has_small_packets, &wanted)) {
        *packet = wanted.packet;
        if (mode == WATCH_REFUSE)
            return false;
        watch_report_pair(NULL, wanted.packet, NULL);
    }
    struct guarded *guarded = new_region();
    if (!guarded)
        return false;
    *guarded = (struct guarded){.context = region->context, .pd = region->pd, .lkey = region->lkey,
                                .rkey = region->rkey, .first = first, .last = first + (region->length - 1),
                                .page = page};
    if (!enter(region->context) || !table_put(&regions, (uintptr_t)guarded->context, guarded->lkey, guarded)) {
        watch_discard(guarded);
        return false;
    }
    add(guarded);
    struct device device = {region->context, converter(region->context, NULL)};
    (void)table_any(&pairs, extend, &device);
    return true;
}

bool watch_admits(struct ibv_qp *qp, const struct ibv_qp_attr *attributes, int mask, const void *caller)
{
    struct wanted wanted = {.pd = qp->pd};
    if (watch_mode() == WATCH_OFF || !(mask & IBV_QP_PATH_MTU) || !is_connected_type(qp)
        || attributes->path_mtu < IBV_MTU_256 || attributes->path_mtu > IBV_MTU_4096)
        return true;
    wanted.packet = 128u << attributes->path_mtu;
    if (!table_any(&regions, is_of_domain, &wanted))
        return true;
    watch_report_pair(qp, wanted.packet, caller);
    return mode != WATCH_REFUSE;
}

/* Whether a context has the watch already. */
static bool is_entered(struct ibv_context *context)
{
    for (struct watched *each = atomic_load_explicit(&contexts, memory_order_acquire); each; each = each->next)
        if (each->context == context)
            return true;
    return false;
}

void watch_modified(struct ibv_qp *qp, const struct ibv_qp_attr *attributes, int mask, const void *caller)
{
    if (watch_mode() == WATCH_OFF)
        return;
    int before = errno;
    struct pair *pair = pair_of(qp);
    if (pair && mask & IBV_QP_PATH_MTU && attributes->path_mtu >= IBV_MTU_256 && attributes->path_mtu <= IBV_MTU_4096)
        atomic_store_explicit(&pair->packet, 128u << attributes->path_mtu, memory_order_relaxed);
    if (watch_is_remote_watched())
        (void)enter(qp->context);
    if (pair && is_entered(qp->context))
        watch_extended(pair, converter(qp->context, caller));
    errno = before;
}

int watch_destroy(struct ibv_qp *qp, int (*call)(struct ibv_qp *))
{
    /* Before the call: after it another queue pair may be there. */
    struct pair *pair = table_take(&pairs, (uintptr_t)qp, 0);
    int error = call(qp);
    if (pair && error) {
        (void)table_put(&pairs, (uintptr_t)qp, 0, pair);
    } else if (pair) {
        pthread_mutex_lock(&lock);
        pair->next = free_pairs;
        free_pairs = pair;
        pthread_mutex_unlock(&lock);
    }
    return error;
}
