/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classifies a range by the names of its mappings, so that programs that probe and fail on purpose do not have
 * PeerMR loaded, nor anything mapped where nothing was. PeerMR checks again in detail.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maps_shim.h"

static bool has_prefix(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

static enum mapping classify_name(char *name)
{
    static const char door[] = "/p2pmem/allocate";
    name[strcspn(name, "\n")] = 0;
    size_t length = strlen(name);
    if (length >= sizeof(door) && strcmp(name + length - (sizeof(door) - 1), door) == 0)
        return MAPPING_PEER;
    /* As the kernel names dma-bufs, and did before Linux 5.3. */
    if (has_prefix(name, "/dmabuf:") || has_prefix(name, "anon_inode:dmabuf"))
        return MAPPING_PEER;
    /* A BAR of a device that the program drives itself. */
    if (strcmp(name, "anon_inode:[vfio-device]") == 0 || has_prefix(name, "/dev/vfio/devices/"))
        return MAPPING_PEER;
    return has_prefix(name, "/sys/") || has_prefix(name, "/dev/") || has_prefix(name, "anon_inode:") ? MAPPING_DEVICE
                                                                                        : MAPPING_HOST;
}

/* What has been seen of a range so far. */
struct seen {
    uintptr_t reached;
    enum mapping found;
    bool is_whole;
};

static void see(struct seen *seen, uintptr_t start, uintptr_t end, uintptr_t last, char *name)
{
    enum mapping here = classify_name(name);
    if (here > seen->found)
        seen->found = here;
    if (start <= seen->reached)
        seen->reached = end;
    seen->is_whole = seen->reached > last || seen->reached == 0;
}

/* Asks the kernel (Linux 6.11); false where it cannot be asked. */
static bool ask(struct seen *seen, uintptr_t first, uintptr_t last)
{
    char name[PATH_MAX];
    struct peermr_mapping mapping;
    for (uintptr_t address = first; address <= last; address = mapping.end) {
        if (peermr_mapping_from(address, &mapping, name, sizeof(name)) != 0)
            return errno == ENOENT;
        if (mapping.start > last || mapping.end <= address)
            break;
        see(seen, mapping.start, mapping.end, last, name);
    }
    return true;
}

/* Reads the file up to the range; false without /proc. */
static bool read_file(struct seen *seen, uintptr_t first, uintptr_t last)
{
    uintptr_t start, end;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/maps", "re");

    if (!file)
        return false;
    while (getline(&line, &size, file) > 0) {
        int name = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &start, &end, &name) != 2 || name == 0)
            continue;
        if (end <= first)
            continue;
        if (start > last)
            break;
        see(seen, start, end, last, line + name);
    }
    free(line);
    fclose(file);
    return true;
}

enum mapping preload_classify(const struct refused *refused)
{
    uintptr_t first = (uintptr_t)refused->address, last = first + (refused->length - 1);
    struct seen begin = {first, MAPPING_HOST, false}, seen = begin;

    if (last < first)
        return MAPPING_NONE;
    if (!ask(&seen, first, last)) {
        seen = begin;
        /* Without /proc nothing is known: PeerMR says so. */
        if (!read_file(&seen, first, last))
            return MAPPING_PEER;
    }
    return seen.found == MAPPING_PEER || seen.is_whole ? seen.found : MAPPING_NONE;
}
