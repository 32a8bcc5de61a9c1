/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ticket is the number of an entry, in its lower 24 bits, and which of the entry's leases is meant. Entries belong to
 * the thread that made them, which takes them without an atomic operation; any thread may give one back.
 */
#include <stddef.h>
#include <stdlib.h>

#include "threads.h"

#define NUMBER_BITS 24
#define BLOCK 64
#define LAST_GENERATION ((UINT64_C(1) << 40) - 1)

enum { FREE, LEASED, CLAIMED };

struct entry {
    uint64_t state; /* the generation, above two bits for one of the three */
    void *slot;
    void *count;
    void *store;
    struct thread *owner;
    uint32_t next;  /* of a list of free ones: number + 1; 0 at the end */
};

/* By number: blocks are never freed, so that an old ticket leads to its entry. Untouched pages cost nothing. */
static struct entry *blocks[1 << (NUMBER_BITS - 6)];
static uint32_t block_count;

static struct entry *find(uint32_t number)
{
    struct entry *block = __atomic_load_n(&blocks[number / BLOCK], __ATOMIC_ACQUIRE);
    return block ? block + number % BLOCK : NULL;
}

/* Entries for a thread that has none left: those that others gave back, or new ones. */
static __attribute__((noinline)) uint32_t refill(struct thread *thread)
{
    uint32_t back = __atomic_exchange_n(&thread->returned, 0, __ATOMIC_ACQUIRE);
    if (back)
        return back;
    struct entry *block = calloc(BLOCK, sizeof(*block));
    if (!block)
        return 0;
    uint32_t number = __atomic_fetch_add(&block_count, 1, __ATOMIC_RELAXED);
    if (number >= sizeof(blocks) / sizeof(*blocks)) {
        __atomic_fetch_sub(&block_count, 1, __ATOMIC_RELAXED);
        free(block);
        return 0;
    }
    for (uint32_t index = 0; index < BLOCK; index++) {
        block[index].state = UINT64_C(1) << 2 | FREE;
        block[index].owner = thread;
        block[index].next = index + 1 < BLOCK ? number * BLOCK + index + 2 : 0;
    }
    __atomic_store_n(&blocks[number], block, __ATOMIC_RELEASE);
    return number * BLOCK + 1;
}

uint64_t peermr_ticket_take(void *slot, void *count, void *store)
{
    struct thread *thread = peermr_thread();
    if (!thread)
        return 0;
    if (!thread->unused && !(thread->unused = refill(thread)))
        return 0;
    uint32_t number = thread->unused - 1;
    struct entry *entry = find(number);
    thread->unused = entry->next;
    entry->slot = slot;
    entry->count = count;
    entry->store = store;
    uint64_t generation = __atomic_load_n(&entry->state, __ATOMIC_RELAXED) >> 2;
    __atomic_store_n(&entry->state, generation << 2 | LEASED, __ATOMIC_RELEASE);
    return generation << NUMBER_BITS | number;
}

enum peermr_ticket_state peermr_ticket_claim(uint64_t ticket, struct peermr_leased *leased)
{
    struct entry *entry = find(ticket & ((1 << NUMBER_BITS) - 1));
    uint64_t generation = ticket >> NUMBER_BITS;
    if (!entry || generation == 0)
        return PEERMR_TICKET_NONE;
    uint64_t expected = generation << 2 | LEASED;
    if (__atomic_compare_exchange_n(&entry->state, &expected, generation << 2 | CLAIMED, 0, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        leased->slot = entry->slot;
        leased->count = entry->count;
        leased->store = entry->store;
        return PEERMR_TICKET_VALID;
    }
    if (expected >> 2 == generation)
        return (expected & 3) == CLAIMED ? PEERMR_TICKET_IN_USE : PEERMR_TICKET_NONE;
    return expected >> 2 > generation ? PEERMR_TICKET_RETURNED : PEERMR_TICKET_NONE;
}

void peermr_ticket_keep(uint64_t ticket)
{
    struct entry *entry = find(ticket & ((1 << NUMBER_BITS) - 1));
    __atomic_store_n(&entry->state, (ticket >> NUMBER_BITS) << 2 | LEASED, __ATOMIC_RELEASE);
}

void peermr_ticket_end(uint64_t ticket)
{
    uint32_t number = ticket & ((1 << NUMBER_BITS) - 1);
    uint64_t generation = ticket >> NUMBER_BITS;
    struct entry *entry = find(number);
    struct thread *owner = entry->owner;
    __atomic_store_n(&entry->state, (generation + 1) << 2 | FREE, __ATOMIC_RELEASE);
    /* After as many leases as a ticket can count the entry is not used again. */
    if (generation == LAST_GENERATION)
        return;
    if (owner == peermr_thread()) {
        entry->next = owner->unused;
        owner->unused = number + 1;
        return;
    }
    uint32_t first = __atomic_load_n(&owner->returned, __ATOMIC_RELAXED);
    do
        entry->next = first;
    while (!__atomic_compare_exchange_n(&owner->returned, &first, number + 1, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}
