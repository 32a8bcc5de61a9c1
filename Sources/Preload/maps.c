/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classifies a range by the names in /proc/self/maps, so that programs that probe and fail on purpose do not have
 * PeerMR loaded, nor anything mapped where nothing was. PeerMR checks again in detail.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    return has_prefix(name, "/sys/") || has_prefix(name, "/dev/") || has_prefix(name, "anon_inode:") ? MAPPING_DEVICE
                                                                                        : MAPPING_HOST;
}

enum mapping preload_classify(const struct refused *refused)
{
    uintptr_t first = (uintptr_t)refused->address, last = first + (refused->length - 1), start, end;
    uintptr_t reached = first;
    enum mapping found = MAPPING_HOST;
    bool is_whole = false;
    char *line = NULL;
    size_t size = 0;
    FILE *file;

    if (last < first)
        return MAPPING_NONE;
    file = fopen("/proc/self/maps", "re");
    /* Without /proc nothing is known: PeerMR says so. */
    if (!file)
        return MAPPING_PEER;
    while (getline(&line, &size, file) > 0) {
        int name = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &start, &end, &name) != 2 || name == 0)
            continue;
        if (end <= first)
            continue;
        if (start > last)
            break;
        enum mapping here = classify_name(line + name);
        if (here > found)
            found = here;
        if (start <= reached)
            reached = end;
        is_whole = reached > last || reached == 0;
    }
    free(line);
    fclose(file);
    return found == MAPPING_PEER || is_whole ? found : MAPPING_NONE;
}
