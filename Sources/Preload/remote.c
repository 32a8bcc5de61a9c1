/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which remote memory is watched. A peer cannot know which of the keys that it was given are of regions that have to be
 * guarded: PEERMR_WATCH_REMOTE names them by key or address, or says "all", and what is then reported is possible only.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

enum { MOST_NAMED = 64, MOST_KEYS = 32, PAGE = 4096 };

/* A key, or addresses from the first to the last. */
struct named {
    bool is_key;
    uint64_t first, last;
};

static struct {
    bool is_all;
    unsigned count;
    struct named named[MOST_NAMED];
} remote;

/* What went to keys of which nothing is known. */
static struct {
    _Atomic uint64_t key; /* with bit 32 set; 0: free */
    _Atomic uint64_t requests, wrong, bytes;
} keys[MOST_KEYS];
static _Atomic uint64_t beyond;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* KEY, or FIRST-LAST: false where it is neither. */
static bool parse(const char *word, struct named *named)
{
    char *end = NULL;
    errno = 0;
    named->first = strtoull(word, &end, 16);
    if (errno || end == word)
        return false;
    named->is_key = *end == 0;
    if (named->is_key)
        return named->first <= UINT32_MAX;
    if (*end != '-')
        return false;
    word = end + 1;
    named->last = strtoull(word, &end, 16);
    return errno == 0 && end != word && *end == 0 && named->last >= named->first;
}

static void read_environment(void)
{
    const char *value = secure_getenv("PEERMR_WATCH_REMOTE");
    const char *mode = secure_getenv("PEERMR_WATCH");
    char words[2048], *rest = NULL;
    if (!value || !value[0]) {
        remote.is_all = watch_mode() == WATCH_REPORT && mode && strcmp(mode, "report") == 0;
        return;
    }
    snprintf(words, sizeof(words), "%s", value);
    for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "all") == 0)
            remote.is_all = true;
        else if (remote.count < MOST_NAMED && parse(word, &remote.named[remote.count]))
            remote.count++;
        else
            preload_print("PEERMR_WATCH_REMOTE: '%s' is neither all nor KEY nor FIRST-LAST, in hexadecimal, or one "
                          "too many: nothing is watched for it", word);
    }
}

bool watch_is_remote_watched(void)
{
    pthread_once(&once, read_environment);
    return watch_mode() != WATCH_OFF && (remote.is_all || remote.count > 0);
}

enum remote watch_remote(uint32_t rkey, uint64_t address, uint64_t *page)
{
    struct guarded *own = watch_own(rkey, address);
    pthread_once(&once, read_environment);
    *page = own ? own->page : PAGE;
    if (own)
        return REMOTE_OWN;
    for (unsigned i = 0; i < remote.count; i++) {
        const struct named *named = &remote.named[i];
        if (named->is_key ? named->first == rkey : named->first <= address && address <= named->last)
            return REMOTE_NAMED;
    }
    /* Refusing what may well be right is done where the user asked for it in so many words. */
    if (!remote.is_all)
        return REMOTE_UNWATCHED;
    return watch_mode() == WATCH_REFUSE ? REMOTE_NAMED : REMOTE_ANY;
}

void watch_count_remote(uint32_t rkey, bool is_wrong, uint64_t length)
{
    uint64_t wanted = (uint64_t)1 << 32 | rkey;
    for (unsigned i = 0; i < MOST_KEYS; i++) {
        uint64_t found = atomic_load_explicit(&keys[i].key, memory_order_relaxed);
        if (found == 0 && !atomic_compare_exchange_strong(&keys[i].key, &found, wanted) && found != wanted)
            continue;
        if (found != 0 && found != wanted)
            continue;
        atomic_fetch_add_explicit(&keys[i].requests, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&keys[i].wrong, is_wrong, memory_order_relaxed);
        atomic_fetch_add_explicit(&keys[i].bytes, is_wrong ? length : 0, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&beyond, is_wrong, memory_order_relaxed);
}

void watch_report_remote(void)
{
    uint64_t unnamed = atomic_load(&beyond);
    for (unsigned i = 0; i < MOST_KEYS && atomic_load(&keys[i].key); i++) {
        uint64_t wrong = atomic_load(&keys[i].wrong);
        if (wrong == 0)
            continue;
        preload_print("watch: remote key 0x%" PRIx32 ": %" PRIu64 " of %" PRIu64 " requests (%" PRIu64 " bytes) are "
                      "moved wrongly if its memory is paged on demand by Soft-RoCE at its owner, as p2pmem there is; "
                      "they are right for any other memory", (uint32_t)atomic_load(&keys[i].key), wrong,
                      atomic_load(&keys[i].requests), atomic_load(&keys[i].bytes));
    }
    if (unnamed)
        preload_print("watch: and %" PRIu64 " such requests to further remote keys", unnamed);
}

void watch_reset_remote(void)
{
    for (unsigned i = 0; i < MOST_KEYS; i++) {
        atomic_store(&keys[i].requests, 0);
        atomic_store(&keys[i].wrong, 0);
        atomic_store(&keys[i].bytes, 0);
    }
    atomic_store(&beyond, 0);
}
