/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_C_ABI_HARNESS_H
#define PEERMR_C_ABI_HARNESS_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fake_verbs.h"
#include "peermr.h"

/* Notes the first thing that is wrong; the test goes on. From any thread. */
void c_abi_fault(const char *file, int line, const char *what);

void c_abi_fails(peermr_status wanted, peermr_status got, const char *file, int line, const char *call);

#define CHECK(condition) ((condition) ? (void)0 : c_abi_fault(__FILE__, __LINE__, #condition))

/* The call gives this status, and the thread's last failure says so, in words. */
#define FAILS(wanted, call) c_abi_fails((wanted), (call), __FILE__, __LINE__, #call)

#define WORKS(call) CHECK((call) == PEERMR_OK)

/* A device, a domain of it, and two pages that are aligned. */
struct machine {
    struct ibv_context *context;
    struct ibv_pd *pd;
    uint8_t *bytes;
};

struct machine machine_open(void);
void machine_close(struct machine *machine);

/* A descriptor that stands for a dma-buf of so many bytes. */
int buffer_open(long bytes);

/* Runs a body in 16 threads, each with its number, and waits for them. The barrier is theirs meanwhile. */
enum { THREADS = 16 };
void threads_run(pthread_barrier_t *barrier, void *(*body)(void *));

/* The last failure's remedy, reason or call has this word in it. */
int says(const char *word);

/* The text is there and has this word in it. */
int has(const char *text, const char *word);

/* The name of a PCI function of this machine, "" where there is none. */
const char *some_function(void);

void status_names(void);
void last_error_stays(void);
void struct_sizes(void);
void handles_of_others(void);
void handles_twice(void);
void null_everywhere(void);
void addresses(void);
void options_misused(void);
void dmabufs(void);
void dmabufs_misused(void);
void opened_memory(void);
void opened_buffers(void);
void opened_misused(void);
void bulk_registration(void);
void bulk_failures(void);
void bounces(void);
void detaching(void);
void refused_deregistration(void);
void lengths(void);
void bus_addresses(void);
void routes(void);
void four_answers(void);
void proofs(void);
void remembered_devices(void);
void every_entry(void);
void texts_without_end(void);
void cache_leases(void);
void cache_limits(void);
void cache_invalidation(void);
void cache_domains(void);
void cache_readers(void);
void cache_addresses(void);
void leases_twice(void);
void cache_refusals(void);
void cache_access(void);
void cache_cycles(void);
void cache_after_fork(void);
void threads_lease(void);
void threads_share_a_lease(void);
void threads_register(void);
void threads_share_a_handle(void);

#endif
