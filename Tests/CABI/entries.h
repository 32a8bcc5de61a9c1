/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_C_ABI_ENTRIES_H
#define PEERMR_C_ABI_ENTRIES_H

#include "harness.h"

/* What the calls are made with. */
extern struct possessions {
    struct machine machine;
    struct peermr_region *region;
    struct peermr_cache *cache;
    struct peermr_arena *arena;
    struct peermr_request *request;
    struct peermr_capability *capability; /* NULL where this machine has no PCI function */
} have;

/* Whether texts stay valid: the header says that calls of functions of type peermr_status may end that, except one. */
enum { KEEPS, ENDS };

/* A function of the header. */
struct entry {
    const char *name;
    int ends;
    void (*fails)(void); /* NULL where it cannot */
    void (*works)(void); /* NULL where this process cannot have what that needs */
};

const struct entry *entry_at(unsigned index);

/* The name is that of a function, or this does not compile. */
#define ENTRY(function, ends, fails, works) {sizeof(&function) ? #function : "", ends, fails, works}

extern const struct entry cache_entries[];
extern const unsigned cache_entry_count;

/* A handle that is none, another one each time: the sentences about them differ. */
void *no_handle(void);

#endif
