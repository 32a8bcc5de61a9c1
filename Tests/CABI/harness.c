/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "c_abi.h"

static const struct {
    const char *name;
    void (*body)(void);
} tests[] = {
    {"names of values, and the version", status_names},
    {"the last failure stays until the next one", last_error_stays},
    {"struct sizes: too small, absurd, and of a newer program", struct_sizes},
    {"handles of another kind, and none at all", handles_of_others},
    {"handles that have been freed", handles_twice},
    {"NULL wherever a pointer is", null_everywhere},
    {"memory by its address", addresses},
    {"options that are none", options_misused},
    {"dma-bufs", dmabufs},
    {"dma-bufs that are none, and parts that they do not have", dmabufs_misused},
    {"memory by its specification", opened_memory},
    {"dma-bufs by their specification", opened_buffers},
    {"memory by its specification, misused", opened_misused},
    {"many parts at once, in chunks", bulk_registration},
    {"many parts at once that cannot be, or fail at any of them", bulk_failures},
    {"host memory in place of what is refused", bounces},
    {"an ibv_mr that is given away", detaching},
    {"a deregistration that is refused", refused_deregistration},
    {"absurd lengths", lengths},
    {"text that is no PCI address", bus_addresses},
    {"routes", routes},
    {"the four answers", four_answers},
    {"proofs, for and against", proofs},
    {"what is remembered of a device", remembered_devices},
    {"every function, and texts that the program has", every_entry},
    {"failures without end", texts_without_end},
    {"leases of a cache, and their end", cache_leases},
    {"limits of a cache, and what goes for them", cache_limits},
    {"regions of a cache invalidated by memory, range, provider and all", cache_invalidation},
    {"domains that a cache lets go of", cache_domains},
    {"a thread's own reader", cache_readers},
    {"leases of what is mapped at an address", cache_addresses},
    {"leases given back twice, and those that are none", leases_twice},
    {"ranges, options and handles that a cache refuses", cache_refusals},
    {"access that memory does not allow, and failures that are forgotten", cache_access},
    {"1000 caches with all that belongs to them", cache_cycles},
    {"a cache after fork", cache_after_fork},
    {"sixteen threads, one cache", threads_lease},
    {"one lease, many threads", threads_share_a_lease},
    {"sixteen threads, 64 registrations each", threads_register},
    {"one handle, many threads", threads_share_a_handle},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char fault[512];

void c_abi_fault(const char *file, int line, const char *what)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    peermr_last_error(&error);
    pthread_mutex_lock(&lock);
    if (!fault[0])
        snprintf(fault, sizeof(fault), "%s:%d: not so: %s (last failure: %s)", file, line, what,
                 error.message ? error.message : "none");
    pthread_mutex_unlock(&lock);
}

void c_abi_fails(peermr_status wanted, peermr_status got, const char *file, int line, const char *call)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    if (got != wanted || peermr_last_error(&error) != PEERMR_OK || error.status != wanted || !error.reason
        || !error.reason[0] || !error.remedy || !error.remedy[0])
        c_abi_fault(file, line, call);
}

unsigned c_abi_count(void)
{
    return sizeof(tests) / sizeof(*tests);
}

const char *c_abi_name(unsigned index)
{
    return index < c_abi_count() ? tests[index].name : "?";
}

int c_abi_forks(unsigned index)
{
    return index < c_abi_count() && tests[index].body == cache_after_fork;
}

const char *c_abi_run(unsigned index)
{
    fault[0] = '\0';
    if (index >= c_abi_count())
        return "there is no such test";
    fake_verbs_begin();
    tests[index].body();
    for (int kind = 0; kind < FAKE_KINDS; kind++)
        if (fake_verbs_live((enum fake_kind)kind) != 0)
            c_abi_fault(tests[index].name, kind, "nothing is left of what was made");
    if (fake_verbs_complaint(0))
        c_abi_fault(tests[index].name, 0, fake_verbs_complaint(0));
    fake_verbs_end();
    return fault[0] ? fault : NULL;
}

struct machine machine_open(void)
{
    struct machine machine = {NULL, NULL, NULL};
    struct ibv_device **list = ibv_get_device_list(NULL);
    if (list) {
        machine.context = ibv_open_device(list[0]);
        ibv_free_device_list(list);
    }
    machine.pd = machine.context ? ibv_alloc_pd(machine.context) : NULL;
    machine.bytes = aligned_alloc(4096, 8192);
    CHECK(machine.pd && machine.bytes);
    memset(machine.bytes, 0x5a, 8192);
    return machine;
}

void machine_close(struct machine *machine)
{
    free(machine->bytes);
    ibv_dealloc_pd(machine->pd);
    ibv_close_device(machine->context);
}

int says(const char *word)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    return peermr_last_error(&error) == PEERMR_OK && strstr(error.message, word) != NULL;
}

const char *some_function(void)
{
    static char name[64];
    DIR *folder = opendir("/sys/bus/pci/devices");
    name[0] = '\0';
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < sizeof(name))
            strcpy(name, entry->d_name);
    if (folder)
        closedir(folder);
    return name;
}

int has(const char *text, const char *word)
{
    return text && strstr(text, word) != NULL;
}

int buffer_open(long bytes)
{
    int fd = fake_verbs_memory_file();
    CHECK(fd >= 0 && ftruncate(fd, bytes) == 0);
    fake_verbs_declare_buffer(fd);
    fake_verbs_set_buffer_probe(EBADF);
    return fd;
}

void threads_run(pthread_barrier_t *barrier, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(barrier, NULL, THREADS) == 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(barrier);
}
