/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that belong to the calling thread, and stay until it replaces them or ends. Swift has no such storage. */
#ifndef PEERMR_THREAD_TEXTS_H
#define PEERMR_THREAD_TEXTS_H

#include <stddef.h>

#define PEERMR_THREAD_SLOTS 2
#define PEERMR_THREAD_TEXTS 4

/* Two numbers and four texts, which are never NULL. */
struct peermr_thread_record {
    int first;
    int second;
    const char *texts[PEERMR_THREAD_TEXTS];
};

/*
 * Replaces the thread's record of a slot. `packed` is the texts one after the other, each with its 0 byte. Where there
 * is no memory the texts are empty.
 *
 * `keeps`: texts of this slot that peermr_thread_record_get() has given stay valid until peermr_thread_texts_release().
 * Those that are replaced again and again by the same ones are kept once.
 */
void peermr_thread_record_set(unsigned slot, int keeps, int first, int second, const char *packed, size_t bytes);

/* The thread's record of a slot: zeros and empty texts where it has none. Valid until it is replaced. */
const struct peermr_thread_record *peermr_thread_record_get(unsigned slot);

/* Frees what was kept for the thread. */
void peermr_thread_texts_release(void);

#endif
