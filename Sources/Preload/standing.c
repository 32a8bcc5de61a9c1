/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A first look at what stands in a range, by the names in /proc/self/maps: programs that probe, and fail on purpose,
 * shall not have PeerMR loaded for it, nor something mapped where nothing was. PeerMR looks again, and closely.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool begins(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

static enum standing of_name(char *name)
{
    static const char door[] = "/p2pmem/allocate";
    name[strcspn(name, "\n")] = 0;
    size_t length = strlen(name);
    if (length >= sizeof(door) && strcmp(name + length - (sizeof(door) - 1), door) == 0)
        return STANDING_PEER;
    /* As the kernel names dma-bufs, and did before Linux 5.3. */
    if (begins(name, "/dmabuf:") || begins(name, "anon_inode:dmabuf"))
        return STANDING_PEER;
    return begins(name, "/sys/") || begins(name, "/dev/") || begins(name, "anon_inode:") ? STANDING_DEVICE
                                                                                        : STANDING_HOST;
}

enum standing preload_standing(const struct refused *refused)
{
    uintptr_t first = (uintptr_t)refused->address, last = first + (refused->length - 1), start, end;
    uintptr_t reached = first;
    enum standing found = STANDING_HOST;
    bool is_whole = false;
    char *line = NULL;
    size_t size = 0;
    FILE *file;

    if (last < first)
        return STANDING_NOWHERE;
    file = fopen("/proc/self/maps", "re");
    /* Without /proc nothing is known: PeerMR says so. */
    if (!file)
        return STANDING_PEER;
    while (getline(&line, &size, file) > 0) {
        int name = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &start, &end, &name) != 2 || name == 0)
            continue;
        if (end <= first)
            continue;
        if (start > last)
            break;
        enum standing here = of_name(line + name);
        if (here > found)
            found = here;
        if (start <= reached)
            reached = end;
        is_whole = reached > last || reached == 0;
    }
    free(line);
    fclose(file);
    return found == STANDING_PEER || is_whole ? found : STANDING_NOWHERE;
}
