/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dmabuf_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int peermr_is_dmabuf(int fd)
{
    struct statfs status;
    if (fstatfs(fd, &status) != 0)
        return -1;
    return status.f_type == DMA_BUF_MAGIC;
}

int peermr_file_identity(int fd, uint64_t *device, uint64_t *inode)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -1;
    *device = status.st_dev;
    *inode = status.st_ino;
    return 0;
}

int peermr_duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int peermr_is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return (flags & O_ACCMODE) != O_RDONLY;
}

int peermr_dmabuf_sync(int fd, int writing, int ending)
{
    struct dma_buf_sync sync = {
        .flags = (writing ? DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ) | (ending ? DMA_BUF_SYNC_END : DMA_BUF_SYNC_START),
    };
    int result;
    do {
        result = ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync);
    } while (result != 0 && (errno == EINTR || errno == EAGAIN));
    return result;
}

/* Through a file in memory: write(2) loads from one side, read(2) stores to the other. */
static int copy_through(int file, char *to, const char *from, size_t bytes)
{
    enum { PIECE = 1 << 20 };
    for (size_t done = 0; done < bytes;) {
        size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
        ssize_t taken = pwrite(file, from + done, piece, 0);
        if (taken <= 0)
            return -1;
        for (ssize_t given = 0; given < taken;) {
            ssize_t count = pread(file, to + done + given, (size_t)(taken - given), given);
            if (count <= 0)
                return -1;
            given += count;
        }
        done += (size_t)taken;
    }
    return 0;
}

int peermr_copy_by_kernel(void *to, const void *from, size_t bytes)
{
    int file = memfd_create("peermr-copy", MFD_CLOEXEC);
    if (file < 0)
        return -1;
    int result = copy_through(file, to, from, bytes);
    int error = errno;
    close(file);
    errno = error;
    return result;
}

int peermr_sealed_memory(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int peermr_udmabuf_create(int device, int memory, uint64_t offset, uint64_t bytes)
{
    struct udmabuf_create create = {
        .memfd = (uint32_t)memory,
        .flags = UDMABUF_FLAGS_CLOEXEC,
        .offset = offset,
        .size = bytes,
    };
    return ioctl(device, UDMABUF_CREATE, &create);
}

int peermr_heap_allocate(int heap, uint64_t bytes)
{
    struct dma_heap_allocation_data data = {
        .len = bytes,
        .fd_flags = O_RDWR | O_CLOEXEC,
    };
    if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) != 0)
        return -1;
    return (int)data.fd;
}
