/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are counted, complaints, and forced failures. */
#define _GNU_SOURCE
#include "fake_network.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

_Thread_local struct fake_state *fake;

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void fake_lock(void)
{
    pthread_mutex_lock(&lock);
}

void fake_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void *fake_verbs_share(void)
{
    return fake;
}

void fake_verbs_join(void *shared)
{
    fake = shared;
}

int fake_verbs_in_child(int (*body)(void *), void *argument)
{
    int ends[2], result = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    fake_lock();
    pid_t child = fork();
    if (child == 0) {
        lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
        alarm(60);
        result = body(argument);
        if (write(ends[1], &result, sizeof(result)) != sizeof(result))
            _exit(1);
        /* At an exit valgrind would look for what is lost, which in a child is the parent's. */
        kill(getpid(), SIGKILL);
    }
    fake_unlock();
    close(ends[1]);
    if (child < 0 || read(ends[0], &result, sizeof(result)) != sizeof(result))
        result = -1;
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return result;
}

void fake_verbs_set_command_file(int fd)
{
    fake->command_file = fd;
}

void fake_verbs_begin(void)
{
    fake_verbs_end();
    fake = calloc(1, sizeof(*fake));
    fake->path_mtu = fake->port_mtu = IBV_MTU_4096;
    fake->next_key = 0x100;
    fake->acknowledge_timeout = -1;
    fake->command_file = -1;
    fake->device_channel = -1;
    fake->port_count = 1;
    fake->most_region_bytes = 1ull << 40;
    fake->most_regions = 1000;
    fake->buffer_probe_error = EOPNOTSUPP;
    fake_verbs_lead_to((const uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, 7});
    fake_verbs_add_device("fake0");
}

void fake_verbs_end(void)
{
    if (!fake)
        return;
    fake_network_end();
    for (struct fake_object *object = fake->objects; object;) {
        struct fake_object *next = object->next;
        free(object->seen);
        free(object);
        object = next;
    }
    for (unsigned i = 0; i < fake->event_count; i++)
        free(fake->events[i]);
    for (unsigned i = 0; i < fake->later_count; i++)
        free(fake->later[i]);
    if (fake->device_channel >= 0)
        close(fake->device_channel);
    if (fake->manager_context)
        free(fake_context_object(fake->manager_context));
    free(fake);
    fake = NULL;
}

void fake_verbs_add_device(const char *name)
{
    if (fake->device_count == FAKE_DEVICES)
        return fake_complain("more than %d devices", FAKE_DEVICES);
    struct ibv_device *device = &fake->devices[fake->device_count++];
    snprintf(device->name, sizeof(device->name), "%s", name);
    /* Nobody reads this path: it is where a thread finds the fake of a device. */
    memcpy(device->ibdev_path, &fake, sizeof(fake));
}

struct fake_state *fake_enter(struct ibv_context *context)
{
    struct fake_state *before = fake;
    if (!fake && context && context->device)
        memcpy(&fake, context->device->ibdev_path, sizeof(fake));
    return before;
}

void fake_leave(struct fake_state *before)
{
    fake = before;
}

void fake_verbs_set_iwarp(int is)
{
    for (int i = 0; i < fake->device_count; i++)
        fake->devices[i].transport_type = is ? IBV_TRANSPORT_IWARP : IBV_TRANSPORT_IB;
}

void fake_verbs_remove_devices(void)
{
    fake->device_count = 0;
}

static void put(char (*log)[FAKE_TEXT], unsigned *count, const char *format, va_list arguments)
{
    if (*count < FAKE_LOG)
        vsnprintf(log[(*count)++], FAKE_TEXT, format, arguments);
}

void fake_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put(fake->journal, &fake->journal_count, format, arguments);
    va_end(arguments);
}

void fake_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put(fake->complaints, &fake->complaint_count, format, arguments);
    va_end(arguments);
}

const char *fake_verbs_journal(unsigned index)
{
    return index < fake->journal_count ? fake->journal[index] : NULL;
}

void fake_verbs_clear_journal(void)
{
    fake->journal_count = 0;
}

const char *fake_verbs_complaint(unsigned index)
{
    return index < fake->complaint_count ? fake->complaints[index] : NULL;
}

void fake_verbs_fail(const char *call, int error, unsigned skip)
{
    snprintf(fake->failing, sizeof(fake->failing), "%s", call);
    fake->failing_error = error;
    fake->failing_skip = skip;
    fake->failing_times = 0;
}

void fake_verbs_fail_times(const char *call, int error, unsigned times)
{
    fake_verbs_fail(call, error, 0);
    fake->failing_times = times;
}

void fake_verbs_fail_once(const char *call, int error, unsigned skip)
{
    fake_verbs_fail(call, error, skip);
    fake->failing_times = 1;
}

void fake_verbs_fail_no_more(void)
{
    fake->failing[0] = '\0';
}

int fake_failure(const char *call)
{
    if (!fake)
        return ENOSYS;
    if (strcmp(fake->failing, call) != 0)
        return 0;
    if (fake->failing_skip > 0) {
        fake->failing_skip--;
        return 0;
    }
    if (fake->failing_times > 0 && --fake->failing_times == 0)
        fake_verbs_fail_no_more();
    return fake->failing_error;
}

static struct fake_object **bucket(const void *seen)
{
    return &fake->buckets[((uintptr_t)seen >> 4) * 0x9e3779b97f4a7c15ull >> 48];
}

struct fake_object *fake_find(const void *seen)
{
    if (!fake)
        return NULL;
    for (struct fake_object *object = *bucket(seen); object; object = object->next_in_bucket)
        if (object->seen == seen)
            return object;
    return NULL;
}

void *fake_make(enum fake_kind kind, size_t bytes, const char *call, void *parent_a, void *parent_b,
                void *parent_c)
{
    fake_lock();
    struct fake_object *object = calloc(1, sizeof(*object));
    void *parents[3] = {parent_a, parent_b, parent_c};
    object->seen = calloc(1, bytes);
    object->kind = kind;
    object->alive = true;
    for (int i = 0; i < 3; i++) {
        if (!parents[i])
            continue;
        object->parents[i] = fake_find(parents[i]);
        if (!object->parents[i] || !object->parents[i]->alive)
            fake_complain("%s: made from something that is gone", call);
        else
            object->parents[i]->children++;
    }
    object->next = fake->objects;
    fake->objects = object;
    object->next_in_bucket = *bucket(object->seen);
    *bucket(object->seen) = object;
    fake_note("%s", call);
    fake_unlock();
    return object->seen;
}

bool fake_check(void *seen, enum fake_kind kind, const char *call)
{
    fake_lock();
    struct fake_object *object = fake_find(seen);
    bool is_there = object && object->alive && object->kind == kind;
    if (fake && !is_there)
        fake_complain("%s: on something that is gone", call);
    fake_unlock();
    return is_there;
}

static int destroy(void *seen, enum fake_kind kind, const char *call)
{
    if (!fake_check(seen, kind, call))
        return EINVAL;
    struct fake_object *object = fake_find(seen);
    fake_note("%s", call);
    if (object->children > 0) {
        fake_complain("%s: %d objects that were made from it still live", call, object->children);
        return EBUSY;
    }
    object->alive = false;
    for (int i = 0; i < 3; i++)
        if (object->parents[i])
            object->parents[i]->children--;
    return 0;
}

int fake_destroy(void *seen, enum fake_kind kind, const char *call)
{
    fake_lock();
    int result = destroy(seen, kind, call);
    fake_unlock();
    return result;
}

int fake_verbs_live(enum fake_kind kind)
{
    int count = 0;
    for (struct fake_object *object = fake->objects; object; object = object->next)
        count += object->alive && object->kind == kind;
    return count;
}

void fake_verbs_set_region_limits(uint64_t most_bytes, int most_regions)
{
    fake->most_region_bytes = most_bytes;
    fake->most_regions = most_regions;
}

void fake_verbs_set_registration_time(unsigned microseconds)
{
    fake->registration_time = microseconds;
}

void fake_verbs_set_on_demand(uint64_t general, uint32_t reliable_connection)
{
    fake->odp_general = general;
    fake->odp_reliable = reliable_connection;
}

void fake_verbs_set_path_mtu(uint32_t code)
{
    fake->path_mtu = code;
}

void fake_verbs_set_port_mtu(uint32_t code)
{
    fake->port_mtu = code;
}

uint64_t fake_verbs_registered_address(void)
{
    return fake->registered_address;
}

uint64_t fake_verbs_registered_bytes(void)
{
    return fake->registered_bytes;
}

uint32_t fake_verbs_registered_access(void)
{
    return fake->registered_access;
}
