/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from two numbers to a pointer: looked up without a lock or an allocation, from any thread, while others change
 * it. What the values point to is never freed by the library, only used again.
 */
#ifndef PEERMR_TABLE_H
#define PEERMR_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct table_block;

/* All zero, but for the lock. */
struct table {
    pthread_mutex_t lock;
    _Atomic unsigned sequence; /* odd while somebody changes it */
    struct table_block *_Atomic block;
};
#define TABLE_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* The value; NULL where there is none. */
void *table_find(struct table *table, uint64_t first, uint64_t second);

/* Adds or replaces; false without memory. */
bool table_put(struct table *table, uint64_t first, uint64_t second, void *value);

/* Removes; the value, NULL where there was none. */
void *table_take(struct table *table, uint64_t first, uint64_t second);

/* Calls `see` for each value until it returns true; whether it did. The table may not be changed meanwhile. */
bool table_any(struct table *table, bool (*see)(void *value, void *argument), void *argument);

/* For fork: nobody is inside while a process is copied. */
void table_hold(struct table *table);
void table_release(struct table *table);

#endif
