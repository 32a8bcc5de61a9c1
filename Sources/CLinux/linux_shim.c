/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "linux_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

uint64_t peermr_sysfs_inode(const char *path)
{
    struct statfs system;
    struct stat status;

    if (statfs(path, &system) != 0 || system.f_type != SYSFS_MAGIC || stat(path, &status) != 0)
        return 0;
    return status.st_ino;
}

size_t peermr_find(const void *bytes, size_t count, const void *wanted, size_t wanted_count)
{
    const char *found = memmem(bytes, count, wanted, wanted_count);

    return found ? (size_t)(found - (const char *)bytes) : count;
}

const char *peermr_errno_name(int number)
{
    return strerrorname_np(number);
}

int peermr_sync_file_system(int fd)
{
    return syncfs(fd);
}

int peermr_o_tmpfile(void)
{
    return O_TMPFILE;
}

int peermr_o_direct(void)
{
    return O_DIRECT;
}

int peermr_block_size(int fd, uint32_t *logical_block_bytes)
{
    int value = 0;
    if (ioctl(fd, BLKSSZGET, &value) != 0)
        return -1;
    *logical_block_bytes = (uint32_t)value;
    return 0;
}

int peermr_block_bytes(int fd, uint64_t *bytes)
{
    return ioctl(fd, BLKGETSIZE64, bytes);
}

int peermr_block_number(int fd, uint32_t *major_number, uint32_t *minor_number)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -1;
    if (!S_ISBLK(status.st_mode)) {
        errno = ENOTBLK;
        return -1;
    }
    *major_number = major(status.st_rdev);
    *minor_number = minor(status.st_rdev);
    return 0;
}

void peermr_device_zero(void *address, size_t bytes)
{
    volatile uint64_t *word = address;
    for (size_t i = 0; i < bytes / sizeof(*word); i++)
        word[i] = 0;
}
