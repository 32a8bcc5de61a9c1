/* SPDX-License-Identifier: Apache-2.0 */
/* What the watch has found: sentences on standard error, not too many, and sums at exit. */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "watch.h"

/* How many sentences of a kind come at once; then one a second. */
enum { AT_ONCE = 3 };

/* Requests, by whose memory they are for: the kinds of enum remote. */
static struct {
    _Atomic uint64_t wrong, bytes;
} counts[REMOTE_ANY + 1];
static _Atomic uint64_t right, small_pairs;

static struct {
    _Atomic uint64_t found, silent;
    _Atomic int64_t last;
} kinds[REMOTE_ANY + 1][WRONG_KINDS];

/* An engine by a part of its library's path, or by how its program's name begins; what makes it keep to whole pages. */
struct engine {
    const char *library, *program, *alignment, *packets;
};

static const struct engine engines[] = {
    {"libuct", NULL, "set UCX_RC_VERBS_SEG_SIZE=8192, so that UCX cuts transfers at pages, and begin buffers on a page",
     "set UCX_RC_PATH_MTU=4096"},
    {"mooncake", NULL, "set MC_SLICE_SIZE to a multiple of 4096, and begin buffers and offsets on a page",
     "set MC_MTU=4096"},
    {"transfer_engine", NULL, "set MC_SLICE_SIZE to a multiple of 4096, and begin buffers and offsets on a page",
     "set MC_MTU=4096"},
    {"libfabric", NULL, "begin buffers and offsets of libfabric on a page",
     "set the MTU of both network interfaces to 4200"},
    {NULL, "fio", "give fio a bs= that is a multiple of 4096, and such offsets",
     "set the MTU of both network interfaces to 4200"},
    {NULL, "ib_", "give both ends -s with a multiple of 4096", "give both ends -m 4096"},
};
static const struct engine other = {
    NULL, NULL, "begin each entry and remote address on a page, and each entry after others behind whole pages",
    "set the path MTU to 4096, by an interface MTU of 4200 at both ends",
};

static const struct engine *engine_of(const void *caller)
{
    Dl_info info;
    if (!caller || !dladdr(caller, &info) || !info.dli_fname)
        return &other;
    const char *slash = strrchr(info.dli_fname, '/'), *name = slash ? slash + 1 : info.dli_fname;
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        const struct engine *engine = &engines[i];
        if (engine->library ? strstr(info.dli_fname, engine->library) != NULL
                            : strncmp(name, engine->program, strlen(engine->program)) == 0)
            return engine;
    }
    return &other;
}

/* Whether one more sentence of a kind is printed; how many were not, since the last. */
static bool may_print(enum remote remote, enum wrong wrong, uint64_t *silent)
{
    struct timespec now = {0};
    uint64_t found = atomic_fetch_add(&kinds[remote][wrong].found, 1);
    *silent = 0;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t last = atomic_load(&kinds[remote][wrong].last);
    /* Of what may well be right one sentence is enough; the rest is in the sums. */
    bool is_due = found < (remote == REMOTE_ANY ? 1 : AT_ONCE);
    if (is_due)
        atomic_store(&kinds[remote][wrong].last, now.tv_sec);
    else if (watch_mode() == WATCH_REFUSE && now.tv_sec > last)
        is_due = atomic_compare_exchange_strong(&kinds[remote][wrong].last, &last, now.tv_sec);
    if (!is_due) {
        atomic_fetch_add(&kinds[remote][wrong].silent, 1);
        return false;
    }
    *silent = atomic_exchange(&kinds[remote][wrong].silent, 0);
    return true;
}

/* What goes wrong, as the end of a sentence about so many bytes at an address. */
static void explain(const struct part *part, enum wrong wrong, char *text, size_t size)
{
    switch (wrong) {
    case BEGINS_INSIDE:
        snprintf(text, size, "begin %" PRIu64 " bytes inside a page, and would be moved as if they began with the page",
                 part->address % part->page);
        break;
    case FOLLOWS_OTHERS:
        snprintf(text, size, "follow %" PRIu64 " bytes of the same message, so that packets of %" PRIu64
                 " bytes begin inside pages, and would be moved as if they began with the page", part->before,
                 part->packet);
        break;
    case SMALL_PACKETS:
        snprintf(text, size, "need several packets of %" PRIu64 " bytes, the path MTU, all but the first of which "
                 "begin inside a page, and would be moved as if they began with the page", part->packet);
        break;
    default:
        snprintf(text, size, "have room for a datagram's header of %d bytes and data behind it, which would be moved "
                 "as if they began with the page", GRH_BYTES);
        break;
    }
}

/* The key, and whose it is. */
static const char *key_name(enum remote remote)
{
    switch (remote) {
    case REMOTE_OWN:
        return "this process's own remote key";
    case REMOTE_NAMED:
        return "the watched remote key";
    case REMOTE_ANY:
        return "remote key";
    default:
        return "lkey";
    }
}

static void print(const struct finding *finding, bool is_refusal, uint64_t silent)
{
    const struct engine *engine = engine_of(finding->caller);
    char what[320], more[64] = "";
    explain(&finding->part, finding->wrong, what, sizeof(what));
    if (silent)
        snprintf(more, sizeof(more), " (%" PRIu64 " more such since the last line)", silent);
    const char *remedy = finding->wrong == SMALL_PACKETS   ? engine->packets
                         : finding->wrong == BEHIND_HEADER ? "receive the header into memory of the host"
                                                           : engine->alignment;
    const char *certainty = finding->remote == REMOTE_ANY ? "if its owner pages that memory so, as it does p2pmem"
                                                          : "which reports success";
    preload_print("watch: %s on %s %s: %" PRIu64 " bytes %s 0x%" PRIx64 " (%s 0x%" PRIx32 ") %s by the on-demand "
                  "paging of Soft-RoCE, %s; %s%s", finding->call, finding->context->device->name,
                  is_refusal ? "refused (EINVAL)" : "let through", finding->part.length,
                  finding->is_received ? "received at" : "at", finding->part.address, key_name(finding->remote),
                  finding->key, what, certainty, remedy, more);
}

bool watch_report(const struct finding *finding)
{
    bool is_refusal = watch_mode() == WATCH_REFUSE;
    uint64_t silent;
    atomic_fetch_add_explicit(&counts[finding->remote].wrong, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts[finding->remote].bytes, finding->part.length, memory_order_relaxed);
    if (may_print(finding->remote, finding->wrong, &silent))
        print(finding, is_refusal, silent);
    return is_refusal;
}

void watch_count_right(void)
{
    if (watch_mode() == WATCH_REPORT)
        atomic_fetch_add_explicit(&right, 1, memory_order_relaxed);
}

void watch_report_pair(struct ibv_qp *qp, uint32_t packet, const void *caller)
{
    if (atomic_fetch_add(&small_pairs, 1) >= AT_ONCE)
        return;
    preload_print("watch: ibv_modify_qp to a path MTU of %" PRIu32 " %s: a region of its protection domain is paged on "
                  "demand by Soft-RoCE, which would move what peers send, write and read there in larger requests "
                  "wrongly, and report success; %s", packet,
                  qp && watch_mode() == WATCH_REFUSE ? "refused (EINVAL)" : "let through", engine_of(caller)->packets);
}

void watch_report_blind(struct ibv_context *context)
{
    preload_print("watch: memory is short: requests by ibv_wr_* of a queue pair of %s are not watched",
                  context->device->name);
}

void watch_reset_counts(void)
{
    for (int i = 0; i <= REMOTE_ANY; i++) {
        atomic_store(&counts[i].wrong, 0);
        atomic_store(&counts[i].bytes, 0);
    }
    atomic_store(&right, 0);
    watch_reset_remote();
}

__attribute__((destructor)) static void sum_up(void)
{
    static const char *const whose[] = {"local entries", "requests to this process's own regions",
                                        "requests to the watched remote memory"};
    bool is_report = watch_mode() == WATCH_REPORT;
    uint64_t wrong = 0;
    for (int i = 0; i < REMOTE_ANY; i++) {
        uint64_t found = atomic_load(&counts[i].wrong);
        wrong += found;
        if (found)
            preload_print("watch: %s %" PRIu64 " %s (%" PRIu64 " bytes) that Soft-RoCE %s wrongly",
                          is_report ? "let through" : "refused", found, whose[i], atomic_load(&counts[i].bytes),
                          is_report ? "moved" : "would have moved");
    }
    if (is_report && (wrong || atomic_load(&right)))
        preload_print("watch: requests to watched memory that were right: %" PRIu64, atomic_load(&right));
    watch_report_remote();
}
