/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "maps_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* struct procmap_query, which older headers lack. */
struct query {
    uint64_t size, flags, address;
    uint64_t start, end, mapping_flags, page_size, offset, inode;
    uint32_t device_major, device_minor, name_size, build_id_size;
    uint64_t name, build_id;
};

#define QUERY _IOWR('f', 17, struct query)
enum { READABLE = 1, WRITABLE = 2, SHARED = 8, COVERING_OR_NEXT = 16 };

/*
 * What is kept of /proc/self/maps: opening it takes longer than asking. It is in a page that a child process finds
 * zeroed, as its descriptor would tell of the parent's mappings.
 */
struct kept {
    _Atomic int descriptor; /* and one more; 0 for none */
    _Atomic uint64_t device, inode;
};

static struct kept *kept_page(void)
{
    static _Atomic(struct kept *) page;
    struct kept *found = atomic_load_explicit(&page, memory_order_acquire), *none = NULL;
    if (found)
        return found;
    long bytes = sysconf(_SC_PAGESIZE);
    void *made = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return NULL;
    if (madvise(made, (size_t)bytes, MADV_WIPEONFORK) != 0) {
        munmap(made, (size_t)bytes);
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&page, &none, made)) {
        munmap(made, (size_t)bytes);
        return none;
    }
    return made;
}

/* Whether a descriptor is still what was opened: programs close all that they do not know, and open others. */
static int is_still(struct kept *kept, int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) == 0 && status.st_dev == atomic_load_explicit(&kept->device, memory_order_relaxed)
        && status.st_ino == atomic_load_explicit(&kept->inode, memory_order_relaxed);
}

static int ask(int descriptor, struct query *query)
{
    return ioctl(descriptor, QUERY, query);
}

/* Opens it, asks, and keeps the descriptor where no other thread has kept one meanwhile. */
static int open_and_ask(struct kept *kept, int stale, struct query *query)
{
    int descriptor = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -1;
    int result = ask(descriptor, query), saved = errno;
    struct stat status;
    if (kept && (result == 0 || saved == ENOENT) && fstat(descriptor, &status) == 0) {
        /* Whoever reads these before the number finds them wrong, and opens another one. */
        atomic_store_explicit(&kept->device, status.st_dev, memory_order_relaxed);
        atomic_store_explicit(&kept->inode, status.st_ino, memory_order_relaxed);
        if (atomic_compare_exchange_strong(&kept->descriptor, &stale, descriptor + 1)) {
            errno = saved;
            return result;
        }
    }
    close(descriptor);
    errno = saved;
    return result;
}

static int look_up(struct query *query, struct peermr_mapping *found)
{
    struct kept *kept = kept_page();
    int number = kept ? atomic_load_explicit(&kept->descriptor, memory_order_acquire) : 0;
    int result = number > 0 && is_still(kept, number - 1) ? ask(number - 1, query) : open_and_ask(kept, number, query);
    if (result != 0)
        return -1;
    *found = (struct peermr_mapping){
        .start = query->start, .end = query->end, .offset = query->offset, .inode = query->inode,
        .device = makedev(query->device_major, query->device_minor),
        .is_readable = (query->mapping_flags & READABLE) != 0, .is_writable = (query->mapping_flags & WRITABLE) != 0,
        .is_shared = (query->mapping_flags & SHARED) != 0,
    };
    return 0;
}

int peermr_mapping_from(uint64_t address, struct peermr_mapping *found, char *name, size_t name_bytes)
{
    struct query query = {
        .size = sizeof(query), .flags = COVERING_OR_NEXT, .address = address, .name_size = (uint32_t)name_bytes,
        .name = (uintptr_t)name,
    };
    /* All of it: valgrind does not know that this request writes. */
    memset(name, 0, name_bytes);
    return look_up(&query, found);
}

int peermr_mapping_at(uint64_t address, struct peermr_mapping *found)
{
    struct query query = {.size = sizeof(query), .address = address};
    return look_up(&query, found);
}
