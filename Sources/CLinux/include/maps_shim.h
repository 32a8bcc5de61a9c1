/* SPDX-License-Identifier: Apache-2.0 */
/* What is mapped at an address of this process, by PROCMAP_QUERY (Linux 6.11, include/uapi/linux/fs.h). */
#ifndef PEERMR_MAPS_SHIM_H
#define PEERMR_MAPS_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* A mapping as a line of /proc/self/maps has it. */
struct peermr_mapping {
    uint64_t start, end; /* the first address, and the first behind it */
    uint64_t offset;
    uint64_t inode;
    uint64_t device; /* of the file system, as in stat(2) */
    int is_readable, is_writable, is_shared;
};

/*
 * The mapping that an address is in, or the next one: 0; or -1 with errno: ENOENT where there is none, ENOTTY where the
 * kernel lacks the call, ENAMETOOLONG where the name does not fit, and as open(2) and ioctl(2) fail. `name` ends with a
 * 0 byte. A descriptor is kept; where something else has its number by now another one is opened.
 */
int peermr_mapping_from(uint64_t address, struct peermr_mapping *mapping, char *name, size_t name_bytes);
/* The mapping that an address is in, without its name, which takes the kernel longer than the rest. */
int peermr_mapping_at(uint64_t address, struct peermr_mapping *mapping);

#endif
