/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_texts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A pointer for each thread, and not the texts themselves: threads that never fail pay next to nothing. */
struct texts {
    struct peermr_thread_record records[PEERMR_THREAD_SLOTS];
    char *memory[PEERMR_THREAD_SLOTS];
};

static const struct peermr_thread_record nothing = {0, 0, {"", "", "", ""}};
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int has_key;

static void release(void *value)
{
    struct texts *texts = value;
    for (unsigned slot = 0; slot < PEERMR_THREAD_SLOTS; slot++)
        free(texts->memory[slot]);
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

void peermr_thread_record_set(unsigned slot, int first, int second, const char *packed, size_t bytes)
{
    struct texts *texts = slot < PEERMR_THREAD_SLOTS ? mine(1) : NULL;
    if (!texts)
        return;
    struct peermr_thread_record *record = &texts->records[slot];
    free(texts->memory[slot]);
    char *memory = texts->memory[slot] = malloc(bytes + 1);
    *record = nothing;
    record->first = first;
    record->second = second;
    if (!memory)
        return;
    memcpy(memory, packed, bytes);
    memory[bytes] = '\0';
    size_t at = 0;
    for (unsigned index = 0; index < PEERMR_THREAD_TEXTS && at < bytes; index++) {
        record->texts[index] = memory + at;
        at += strlen(memory + at) + 1;
    }
}

const struct peermr_thread_record *peermr_thread_record_get(unsigned slot)
{
    struct texts *texts = slot < PEERMR_THREAD_SLOTS ? mine(0) : NULL;
    return texts ? &texts->records[slot] : &nothing;
}
