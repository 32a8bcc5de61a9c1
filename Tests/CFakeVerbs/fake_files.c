/* SPDX-License-Identifier: Apache-2.0 */
/* fsync(2), rename(2), linkat(2), and open(2) of new files: written down, made to fail, or the last that the process
 * does. */
#define _GNU_SOURCE
#include "fake_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void fake_verbs_kill_before(const char *call)
{
    snprintf(fake->kill_before, sizeof(fake->kill_before), "%s", call);
}

int fake_step(const char *call)
{
    if (!fake)
        return 0;
    fake_lock();
    fake_note("%s", call);
    if (strcmp(call, fake->kill_before) == 0)
        kill(getpid(), SIGKILL);
    int error = fake_failure(call);
    fake_unlock();
    if (!error)
        return 0;
    errno = error;
    return -1;
}

int fsync(int fd)
{
    struct stat status;
    bool is_folder = fake && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    return fake_step(is_folder ? "fsync of a directory" : "fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    return fake_step("rename") ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return fake_step("linkat") ? -1 : (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int open(const char *path, int flags, ...)
{
    bool is_unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = 0;
    if (is_unnamed || flags & O_CREAT) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    int error = 0;
    if (fake && (is_unnamed || flags & O_CREAT)) {
        fake_lock();
        error = is_unnamed ? fake_failure("open O_TMPFILE") : 0;
        if (!error && flags & O_CREAT)
            fake_note(flags & O_EXCL ? "open O_CREAT O_EXCL" : "open O_CREAT");
        fake_unlock();
    }
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
