/* SPDX-License-Identifier: Apache-2.0 */
#include "threads.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

uintptr_t peermr_roots[PEERMR_ROOTS];
__thread uint32_t peermr_counter_assigned __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int has_key;
/* The kernel makes all threads' writes seen when one asks for it (membarrier(2), Linux 4.14): using a handle then needs
 * no barrier of the processor's. */
static int has_barrier;
static struct thread *all, *idle;
static uint64_t count;
/* Records that were made. */
static uint32_t records;
static __thread struct thread *mine __attribute__((tls_model("initial-exec")));

static void leave(void *value)
{
    struct thread *thread = value;
    mine = NULL;
    peermr_counter_assigned = 0;
    for (unsigned place = 0; place < PEERMR_PLACES; place++)
        __atomic_store_n(&thread->uses[place], 0, __ATOMIC_RELEASE);
    pthread_mutex_lock(&lock);
    thread->next_idle = idle;
    idle = thread;
    pthread_mutex_unlock(&lock);
}

static void begin(void)
{
    has_key = pthread_key_create(&key, leave) == 0;
    has_barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static struct thread *made(void)
{
    struct thread *thread = idle;
    if (thread) {
        idle = thread->next_idle;
    } else {
        thread = aligned_alloc(64, sizeof(*thread));
        if (!thread)
            return NULL;
        *thread = (struct thread){.next = all, .counter = records++ % (PEERMR_COUNTERS - 1) + 1};
        __atomic_store_n(&all, thread, __ATOMIC_RELEASE);
    }
    thread->number = ++count;
    return thread;
}

static __attribute__((noinline)) struct thread *enter(void)
{
    pthread_once(&once, begin);
    if (!has_key)
        return NULL;
    pthread_mutex_lock(&lock);
    struct thread *thread = made();
    pthread_mutex_unlock(&lock);
    if (thread && pthread_setspecific(key, thread) != 0) {
        leave(thread);
        return NULL;
    }
    return mine = thread;
}

struct thread *peermr_thread(void)
{
    return mine ? mine : enter();
}

__attribute__((noinline)) uint32_t peermr_counter_assign(void)
{
    struct thread *thread = peermr_thread();
    /* A thread without a record shares a table with others, which is slower and as good. */
    if (!thread)
        return 1;
    return peermr_counter_assigned = thread->counter;
}

uint64_t peermr_handle_use(enum peermr_place place, uintptr_t handle)
{
    struct thread *thread = peermr_thread();
    if (!thread)
        return 0;
    __atomic_store_n(&thread->uses[place], handle, __ATOMIC_RELEASE);
    if (has_barrier)
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    else
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return thread->number;
}

void peermr_handle_leave(enum peermr_place place)
{
    if (mine)
        __atomic_store_n(&mine->uses[place], 0, __ATOMIC_RELEASE);
}

int peermr_handle_is_used(uintptr_t handle)
{
    pthread_once(&once, begin);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (has_barrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    for (struct thread *thread = __atomic_load_n(&all, __ATOMIC_ACQUIRE); thread; thread = thread->next)
        for (unsigned place = 0; place < PEERMR_PLACES; place++)
            if (__atomic_load_n(&thread->uses[place], __ATOMIC_ACQUIRE) == handle)
                return 1;
    return 0;
}
