/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mapped at an address, as the kernel tells it (PROCMAP_QUERY). A file that stands for a dma-buf has the name
 * of one here; all else is the kernel's answer.
 */
#define _GNU_SOURCE
#include "fake_state.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* struct procmap_query of include/uapi/linux/fs.h, which older headers lack. */
struct query {
    uint64_t size, flags, address;
    uint64_t start, end, mapping_flags, page_size, offset, inode;
    uint32_t device_major, device_minor, name_size, build_id_size;
    uint64_t name, build_id;
};

static bool is_declared(const struct query *query)
{
    struct stat status;
    for (unsigned i = 0; i < fake->buffer_count; i++)
        if (fstat(fake->buffers[i], &status) == 0 && status.st_ino == query->inode
            && status.st_dev == makedev(query->device_major, query->device_minor))
            return true;
    return false;
}

int fake_mapping(int result, unsigned long request, void *answer)
{
    if (result != 0 || !fake || request != _IOWR('f', 17, struct query))
        return result;
    struct query *query = answer;
    char *name = (char *)(uintptr_t)query->name;
    if (query->name_size == 0 || strncmp(name, "/memfd:", 7) != 0 || !(fake->all_are_buffers || is_declared(query)))
        return 0;
    strcpy(name, "/dmabuf:");
    query->name_size = 9;
    return 0;
}
