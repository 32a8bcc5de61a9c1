/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_texts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The texts of one record. */
struct block {
    struct block *next; /* of those that are kept */
    size_t bytes;
    int was_given;
    char texts[];
};

/* A pointer for each thread, and not the texts themselves: threads that never fail pay next to nothing. */
struct texts {
    struct peermr_thread_record records[PEERMR_THREAD_SLOTS];
    struct block *blocks[PEERMR_THREAD_SLOTS];
    struct block *kept;
};

static const struct peermr_thread_record nothing = {0, 0, {"", "", "", ""}};
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int has_key;

static void release_kept(struct texts *texts)
{
    while (texts->kept) {
        struct block *block = texts->kept;
        texts->kept = block->next;
        free(block);
    }
}

static void release(void *value)
{
    struct texts *texts = value;
    for (unsigned slot = 0; slot < PEERMR_THREAD_SLOTS; slot++)
        free(texts->blocks[slot]);
    release_kept(texts);
    free(texts);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, release) == 0;
}

/* The thread that ends the process has no other end: without this its texts would count as lost. */
__attribute__((destructor)) static void release_last(void)
{
    struct texts *texts = has_key ? pthread_getspecific(key) : NULL;
    if (!texts)
        return;
    pthread_setspecific(key, NULL);
    release(texts);
}

static struct texts *mine(int make)
{
    pthread_once(&once, make_key);
    if (!has_key)
        return NULL;
    struct texts *texts = pthread_getspecific(key);
    if (texts || !make)
        return texts;
    texts = calloc(1, sizeof(*texts));
    if (texts && pthread_setspecific(key, texts) != 0) {
        free(texts);
        return NULL;
    }
    for (unsigned slot = 0; texts && slot < PEERMR_THREAD_SLOTS; slot++)
        texts->records[slot] = nothing;
    return texts;
}

/* The texts that a slot has now, if they are these; else such kept ones, taken from the list; else a copy. */
static struct block *find_or_copy(struct texts *texts, unsigned slot, const char *packed, size_t bytes)
{
    struct block *block = texts->blocks[slot];
    if (block && block->bytes == bytes && memcmp(block->texts, packed, bytes) == 0)
        return block;
    for (struct block **link = &texts->kept; (block = *link); link = &block->next)
        if (block->bytes == bytes && memcmp(block->texts, packed, bytes) == 0) {
            *link = block->next;
            return block;
        }
    block = malloc(sizeof(*block) + bytes + 1);
    if (!block)
        return NULL;
    block->bytes = bytes;
    block->was_given = 0;
    memcpy(block->texts, packed, bytes);
    block->texts[bytes] = '\0';
    return block;
}

void peermr_thread_record_set(unsigned slot, int keeps, int first, int second, const char *packed, size_t bytes)
{
    struct texts *texts = slot < PEERMR_THREAD_SLOTS ? mine(1) : NULL;
    if (!texts)
        return;
    struct peermr_thread_record *record = &texts->records[slot];
    struct block *old = texts->blocks[slot], *block = find_or_copy(texts, slot, packed, bytes);
    if (old && old != block) {
        if (keeps && old->was_given) {
            old->next = texts->kept;
            texts->kept = old;
        } else {
            free(old);
        }
    }
    texts->blocks[slot] = block;
    *record = nothing;
    record->first = first;
    record->second = second;
    size_t at = 0;
    for (unsigned index = 0; block && index < PEERMR_THREAD_TEXTS && at < bytes; index++) {
        record->texts[index] = block->texts + at;
        at += strlen(block->texts + at) + 1;
    }
}

const struct peermr_thread_record *peermr_thread_record_get(unsigned slot)
{
    struct texts *texts = slot < PEERMR_THREAD_SLOTS ? mine(0) : NULL;
    if (!texts)
        return &nothing;
    if (texts->blocks[slot])
        texts->blocks[slot]->was_given = 1;
    return &texts->records[slot];
}

void peermr_thread_texts_release(void)
{
    struct texts *texts = mine(0);
    if (texts)
        release_kept(texts);
}
