/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_C_ABI_ENTRIES_H
#define PEERMR_C_ABI_ENTRIES_H

#include "harness.h"

/* What the calls are made with. */
extern struct possessions {
    struct machine machine;
    struct peermr_region *region;
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

extern const struct entry entries[]; /* c_abi_entry_count() of them */

#endif
