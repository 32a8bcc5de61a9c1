/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock and poll(2), for tests whose time passes only when nothing happens: whoever would wait lets the test do
 * something instead, and where there is nothing to do, the time is over at once.
 */
#define _GNU_SOURCE
#include "fake_state.h"

#include <dlfcn.h>
#include <poll.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef FAKE_SANITIZED

void fake_verbs_stop_clock(int (*idle)(void *), void *argument)
{
    fake->idle = idle;
    fake->idle_argument = argument;
    fake->now = 1000000000;
}

void fake_verbs_pass_time(unsigned milliseconds)
{
    fake->now += milliseconds * 1000000ull;
}

FAKE_EARLY int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (fake && fake->now && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)) {
        uint64_t now = fake->now += 1000;
        *time = (struct timespec){.tv_sec = (time_t)(now / 1000000000), .tv_nsec = (long)(now % 1000000000)};
        return 0;
    }
    int (*found)(clockid_t, struct timespec *) = __atomic_load_n(&real, __ATOMIC_RELAXED);
    if (!found) {
        *(void **)&found = dlsym(RTLD_NEXT, "clock_gettime");
        __atomic_store_n(&real, found, __ATOMIC_RELAXED);
    }
    return found(clock, time);
}

int poll(struct pollfd *entries, nfds_t count, int milliseconds)
{
    struct timespec none = {0}, some = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    if (!fake || !fake->now)
        return ppoll(entries, count, milliseconds < 0 ? NULL : &some, NULL);
    int did = 0;
    if (fake->idle && !fake->is_idle) {
        fake->is_idle = true;
        did = fake->idle(fake->idle_argument);
        fake->is_idle = false;
    }
    int ready = ppoll(entries, count, &none, NULL);
    if (ready == 0 && !did && !fake->is_idle && milliseconds > 0)
        fake_verbs_pass_time((unsigned)milliseconds);
    if (ready == 0 && !did && !fake->is_idle && milliseconds < 0)
        fake_complain("poll: for ever");
    return ready;
}

#endif
