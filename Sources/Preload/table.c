/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, below a sequence lock. A block that has become too small is left behind, because
 * a reader may be in it: each is twice the one before, so that all together they are as large as the last.
 */
#define _GNU_SOURCE
#include "table.h"

#include <stddef.h>
#include <stdlib.h>

struct cell {
    _Atomic uint64_t first, second;
    void *_Atomic value; /* NULL: empty */
};

struct table_block {
    size_t mask, used;
    struct cell cells[];
};

enum { FEWEST_CELLS = 64 };

static size_t place(const struct table_block *block, uint64_t first, uint64_t second)
{
    uint64_t mixed = (first ^ (second << 32 | second >> 32)) * 0x9e3779b97f4a7c15u;
    return (size_t)(mixed >> 20) & block->mask;
}

/* The cell of the key, or the empty one where it belongs. */
static size_t probe(struct table_block *block, uint64_t first, uint64_t second)
{
    size_t at = place(block, first, second);
    /* A reader may look while cells move: it gives up after a round, and finds that it has to look again. */
    for (size_t steps = 0; steps <= block->mask; steps++, at = (at + 1) & block->mask) {
        struct cell *cell = &block->cells[at];
        if (!atomic_load_explicit(&cell->value, memory_order_relaxed)
            || (atomic_load_explicit(&cell->first, memory_order_relaxed) == first
                && atomic_load_explicit(&cell->second, memory_order_relaxed) == second))
            break;
    }
    return at;
}

static void set(struct cell *cell, uint64_t first, uint64_t second, void *value)
{
    atomic_store_explicit(&cell->first, first, memory_order_relaxed);
    atomic_store_explicit(&cell->second, second, memory_order_relaxed);
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
}

void *table_find(struct table *table, uint64_t first, uint64_t second)
{
    for (;;) {
        unsigned before = atomic_load_explicit(&table->sequence, memory_order_acquire);
        struct table_block *block = atomic_load_explicit(&table->block, memory_order_acquire);
        if (!block)
            return NULL;
        struct cell *cell = &block->cells[probe(block, first, second)];
        void *value = atomic_load_explicit(&cell->value, memory_order_relaxed);
        bool is_it = atomic_load_explicit(&cell->first, memory_order_relaxed) == first
                     && atomic_load_explicit(&cell->second, memory_order_relaxed) == second;
        atomic_thread_fence(memory_order_acquire);
        if (!(before & 1) && atomic_load_explicit(&table->sequence, memory_order_relaxed) == before)
            return is_it ? value : NULL;
    }
}

static void begin(struct table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end(struct table *table)
{
    atomic_fetch_add_explicit(&table->sequence, 1, memory_order_release);
}

/* A block with room for one more, the same or a larger one; NULL without memory. */
static struct table_block *with_room(struct table *table)
{
    struct table_block *old = atomic_load_explicit(&table->block, memory_order_relaxed);
    if (old && (old->used + 1) * 2 <= old->mask + 1)
        return old;
    size_t cells = old ? (old->mask + 1) * 2 : FEWEST_CELLS;
    struct table_block *new = calloc(1, sizeof(*new) + cells * sizeof(new->cells[0]));
    if (!new)
        return NULL;
    new->mask = cells - 1;
    for (size_t i = 0; old && i <= old->mask; i++) {
        struct cell *cell = &old->cells[i];
        if (cell->value)
            set(&new->cells[probe(new, cell->first, cell->second)], cell->first, cell->second, cell->value);
    }
    new->used = old ? old->used : 0;
    atomic_store_explicit(&table->block, new, memory_order_release);
    return new;
}

bool table_put(struct table *table, uint64_t first, uint64_t second, void *value)
{
    pthread_mutex_lock(&table->lock);
    struct table_block *block = with_room(table);
    if (block) {
        struct cell *cell = &block->cells[probe(block, first, second)];
        block->used += !cell->value;
        begin(table);
        set(cell, first, second, value);
        end(table);
    }
    pthread_mutex_unlock(&table->lock);
    return block != NULL;
}

/* Empties a cell, and moves those behind it that probing would not reach any more. */
static void empty(struct table_block *block, size_t hole)
{
    for (size_t at = (hole + 1) & block->mask; block->cells[at].value; at = (at + 1) & block->mask) {
        struct cell *cell = &block->cells[at];
        size_t wanted = place(block, cell->first, cell->second);
        if (((at - wanted) & block->mask) < ((at - hole) & block->mask))
            continue;
        set(&block->cells[hole], cell->first, cell->second, cell->value);
        hole = at;
    }
    set(&block->cells[hole], 0, 0, NULL);
    block->used--;
}

void *table_take(struct table *table, uint64_t first, uint64_t second)
{
    void *value = NULL;
    /* Most deregistrations and queue pairs are nobody's whom this table knows. */
    if (!table_find(table, first, second))
        return NULL;
    pthread_mutex_lock(&table->lock);
    struct table_block *block = table->block;
    size_t at = probe(block, first, second);
    value = block->cells[at].value;
    if (value) {
        begin(table);
        empty(block, at);
        end(table);
    }
    pthread_mutex_unlock(&table->lock);
    return value;
}

bool table_any(struct table *table, bool (*see)(void *value, void *argument), void *argument)
{
    bool found = false;
    pthread_mutex_lock(&table->lock);
    struct table_block *block = table->block;
    for (size_t i = 0; block && !found && i <= block->mask; i++)
        found = block->cells[i].value && see(block->cells[i].value, argument);
    pthread_mutex_unlock(&table->lock);
    return found;
}

void table_hold(struct table *table)
{
    pthread_mutex_lock(&table->lock);
}

void table_release(struct table *table)
{
    pthread_mutex_unlock(&table->lock);
}
