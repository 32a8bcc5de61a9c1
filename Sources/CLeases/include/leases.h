/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hits of a cache need, without a lock, an allocation, or a word that other threads write: a number of the thread;
 * in C tickets that stand for leases, and a note of the handles that a thread is using. All need storage of each
 * thread, which Swift has not.
 */
#ifndef PEERMR_LEASES_H
#define PEERMR_LEASES_H

#include <stdint.h>

/* What a ticket stands for. */
struct peermr_leased {
    void *slot;
    void *count;
    void *store;
};

enum peermr_ticket_state {
    PEERMR_TICKET_VALID,
    PEERMR_TICKET_NONE,     /* no lease ever had it */
    PEERMR_TICKET_RETURNED, /* its lease was given back before */
    PEERMR_TICKET_IN_USE    /* another thread's call is using it */
};

/* A ticket, of which none is ever given twice; 0 without memory. */
uint64_t peermr_ticket_take(void *slot, void *count, void *store);

/* Takes a ticket for a call: other calls with it find it in use. */
enum peermr_ticket_state peermr_ticket_claim(uint64_t ticket, struct peermr_leased *leased);
/* After a claim: the ticket stands for its lease again, or for none for good. */
void peermr_ticket_keep(uint64_t ticket);
void peermr_ticket_end(uint64_t ticket);

/* Objects that one thread's call can use at the same time. */
enum peermr_place { PEERMR_PLACE_REQUEST, PEERMR_PLACE_READER, PEERMR_PLACES };

/* Notes that this thread is using a handle; what the caller then reads of the handle is not older than the note.
 * Returns a number that the thread alone has among those that live, or 0 without memory. */
uint64_t peermr_handle_use(enum peermr_place place, uintptr_t handle);
void peermr_handle_leave(enum peermr_place place);
/* Whether any thread is using a handle, now that the caller has marked it as ending: who looks later sees the mark. */
int peermr_handle_is_used(uintptr_t handle);

/* Threads count leases in tables of their own, as long as there are no more threads than that. Table 0 is nobody's. */
enum { PEERMR_COUNTERS = 32 };
extern __thread uint32_t peermr_counter_assigned __attribute__((tls_model("initial-exec")));
uint32_t peermr_counter_assign(void);

/* The number of the calling thread's table. */
static inline uint32_t peermr_counter(void)
{
    uint32_t number = peermr_counter_assigned;
    return __builtin_expect(number != 0, 1) ? number : peermr_counter_assign();
}

/* Addresses of the library's tables, which hits find without a look at whether they have been made. */
enum peermr_root { PEERMR_ROOT_REQUESTS, PEERMR_ROOT_READERS, PEERMR_ROOT_ADDRESSES, PEERMR_ROOTS };
extern uintptr_t peermr_roots[PEERMR_ROOTS];

static inline void *peermr_root_get(enum peermr_root root)
{
    return (void *)__atomic_load_n(&peermr_roots[root], __ATOMIC_ACQUIRE);
}

static inline void peermr_root_set(enum peermr_root root, void *address)
{
    __atomic_store_n(&peermr_roots[root], (uintptr_t)address, __ATOMIC_RELEASE);
}

#endif
