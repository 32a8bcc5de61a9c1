/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "linux_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* The handler's own descriptor, which is never closed: a closed one's number may be a drive's. */
static int stop_descriptor = -1;
static volatile sig_atomic_t has_come;

static void stop(int number)
{
    const uint64_t one = 1;
    int before = errno;

    if (has_come) {
        /* It is blocked while its handler runs, and ends the process when that returns. */
        signal(number, SIG_DFL);
        raise(number);
    } else {
        has_come = 1;
        if (write(stop_descriptor, &one, sizeof(one)) < 0)
            _exit(128 + number);
    }
    errno = before;
}

int peermr_termination_descriptor(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigset_t set;

    if (stop_descriptor < 0) {
        stop_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (stop_descriptor < 0)
            return -1;
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
                sigaction(numbers[i], &action, NULL);
        }
        /* Some parents start programs with signals blocked. */
        sigemptyset(&set);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            sigaddset(&set, numbers[i]);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
    return fcntl(stop_descriptor, F_DUPFD_CLOEXEC, 3);
}

void peermr_prepare_standard_streams(void)
{
    for (int descriptor = 0; descriptor < 3; descriptor++) {
        /* Opened the wrong way round, so that its use fails as that of a closed one. */
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void peermr_end_by_closed_pipe(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGPIPE);
    _exit(128 + SIGPIPE);
}

int peermr_run_program(char *const arguments[], int input, int output, int error)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t set;
    pid_t child;
    int status, failure;

    /* What this process ignores, the program must not: it has its own idea of a closed pipe. */
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, error, STDERR_FILENO);
    failure = posix_spawnp(&child, arguments[0], &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (failure) {
        errno = failure;
        return -1;
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return status;
}
