/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for libibverbs and librdmacm, linked into the test program: its symbols win over those of the shared
 * libraries. It counts what lives, writes down the calls, complains about what a real device would not forgive,
 * and lets a call fail with an errno of the test's choice.
 *
 * All state belongs to the calling thread, and only between begin and end: tests may run side by side, and those
 * that know nothing of it find a machine without RDMA (ibv_get_device_list gives NULL and ENOSYS). A thread of the
 * library's that registers memory finds the state by the domain that it is given.
 */
#ifndef PEERMR_FAKE_VERBS_H
#define PEERMR_FAKE_VERBS_H

#include <stdint.h>

enum fake_kind {
    FAKE_DEVICE_LIST,
    FAKE_CONTEXT,
    FAKE_PROTECTION_DOMAIN,
    FAKE_REGION,
    FAKE_COMPLETION_CHANNEL,
    FAKE_COMPLETION_QUEUE,
    FAKE_QUEUE_PAIR,
    FAKE_EVENT_CHANNEL,
    FAKE_CONNECTION,
    FAKE_CONNECTION_EVENT,
    FAKE_DMA_HANDLE,
    FAKE_DEVICE_MEMORY,
    FAKE_KINDS
};

/* One device "fake0" exists on this thread from here on. End frees everything. */
void fake_verbs_begin(void);
void fake_verbs_end(void);

/* For a thread that is to share what another one has begun: that one's state, and NULL to let go of it again. Regions,
 * domains and contexts may then be made and destroyed by all of them at once; the rest is for one thread at a time. */
void *fake_verbs_share(void);
void fake_verbs_join(void *shared);

/* Runs a body in a child process, and waits: its result, or -1, as after a minute. Swift does not see fork(2).
 *
 * A child has the locks that other threads held, Swift's own among them, and nobody who lets go of them: for processes
 * that run one test. */
int fake_verbs_in_child(int (*body)(void *), void *argument);

/* The command descriptor of contexts that are opened from here on, by which the library knows devices of applications;
 * -1, which is none, to begin with. */
void fake_verbs_set_command_file(int fd);

/* More devices, by name; at most 4. */
void fake_verbs_add_device(const char *name);
void fake_verbs_remove_devices(void);

/* The call named fails from its (skip + 1)th time on, with this errno (a return value where the call has no errno). */
void fake_verbs_fail(const char *call, int error, unsigned skip);
void fake_verbs_fail_no_more(void);
/* The same, and it works again after so many failures; or after one. */
void fake_verbs_fail_times(const char *call, int error, unsigned times);
void fake_verbs_fail_once(const char *call, int error, unsigned skip);

/* What the device says of its regions: the most bytes of one, and how many; 2^40 and 1000 to begin with. */
void fake_verbs_set_region_limits(uint64_t most_bytes, int most_regions);

/* How long ibv_reg_mr takes from here on, in microseconds. */
void fake_verbs_set_registration_time(unsigned microseconds);

/* What lives now, of a kind, and what never should have happened: text, or NULL past the last. */
int fake_verbs_live(enum fake_kind kind);
const char *fake_verbs_complaint(unsigned index);

/* The calls that made or destroyed something, in order: text, or NULL past the last. */
const char *fake_verbs_journal(unsigned index);
void fake_verbs_clear_journal(void);

/* On-demand paging, as the device shall report it (general bits, and those of reliable connections). */
void fake_verbs_set_on_demand(uint64_t general, uint32_t reliable_connection);

/* The release of the kernel that uname(2) reports on this thread. */
void fake_verbs_set_kernel(const char *release);

/* The path MTU that ibv_query_qp reports, as the specification codes it. */
void fake_verbs_set_path_mtu(uint32_t code);
/* The same of ibv_query_port. */
void fake_verbs_set_port_mtu(uint32_t code);

/* What the last ibv_reg_mr was given. */
uint64_t fake_verbs_registered_address(void);
uint64_t fake_verbs_registered_bytes(void);
uint32_t fake_verbs_registered_access(void);

/* What was posted last. */
struct fake_request {
    uint64_t request_id;
    uint32_t opcode;
    uint32_t flags;
    uint64_t remote_address;
    uint32_t remote_key;
    uint32_t immediate;
    uint32_t entries;
    uint64_t address;
    uint32_t byte_count;
    uint32_t key;
    /* All entries, of which 4 are kept; the first stands above, too. */
    struct fake_entry {
        uint64_t address;
        uint32_t byte_count;
        uint32_t key;
    } list[4];
};
struct fake_request fake_verbs_last_send(void);
struct fake_request fake_verbs_last_receive(void);
/* All sends, writes and reads, oldest first, of which 256 are kept; how many, and how many receives. */
struct fake_request fake_verbs_send(unsigned index);
unsigned fake_verbs_sends(void);
unsigned fake_verbs_receives(void);

/* An empty file in memory: Swift does not see memfd_create(2). */
int fake_verbs_memory_file(void);
/* From here on this descriptor is a dma-buf, as large as its file. What begins and ends the CPU's access to it
 * (DMA_BUF_IOCTL_SYNC) is in the journal and can be made to fail: "DMA_BUF_IOCTL_SYNC start write". */
void fake_verbs_declare_buffer(int fd);
/* From here on every file is. */
void fake_verbs_declare_files(void);
/* What the device says about descriptor -1, and how often it was asked. */
void fake_verbs_set_buffer_probe(int error);
unsigned fake_verbs_buffer_probes(void);
/* What the last registration of a dma-buf was given. */
struct fake_buffer_call {
    uint64_t offset;
    uint64_t byte_count;
    uint64_t iova;
    int fd;
    uint32_t access;
    int has_handle;
};
struct fake_buffer_call fake_verbs_last_buffer(void);

/* What a key, local or remote, opens now, as it was registered: of a dma-buf the numbers of its file, of other memory
 * its address. */
struct fake_coverage {
    int is_live;
    uint64_t iova, byte_count;
    uint64_t address;
    uint64_t device, inode, offset;
    uint32_t access;
    /* The number in its first 8 bytes, where those were wanted: when it was registered, or now if it is on demand. */
    uint64_t stamp;
};
void fake_verbs_set_stamping(int on);
struct fake_coverage fake_verbs_coverage(uint32_t key);

/* Whether the running library has the calls of rdma-core 59 and 62, and what the last DMA handle was given. */
void fake_verbs_set_new_library(int has);
struct peermr_fake_dmah {
    uint32_t comp_mask;
    uint32_t cpu_id;
    uint8_t ph;
    uint8_t tph_mem_type;
};
struct peermr_fake_dmah fake_verbs_hints(void);

/* Loads a libmlx5 with the calls for data direct: where sysfs has the function, or an errno. */
void fake_verbs_set_data_direct(const char *path, int error);

/* Writes and reads happen, as on a queue pair that is connected to itself, and complete at once. */
void fake_verbs_loop(int on);
/* These bytes of every write, or every read, do not arrive. */
void fake_verbs_go_astray(uint64_t first, uint64_t count, int reading);
/* After so many that work, they complete with this status. */
void fake_verbs_fail_transfer(uint32_t status, unsigned skip);

/* The connection manager's device tells of something (verbs.h, enum ibv_event_type). */
void fake_verbs_device_event(uint32_t kind);

/* The layer of the port's link (1 is InfiniBand, 2 Ethernet), and what the last queue pair was led with. */
void fake_verbs_set_link_layer(uint8_t layer);
struct fake_path {
    uint16_t dlid;
    uint8_t is_global;
    uint8_t gid_index;
    uint32_t path_mtu;
    uint32_t access;
    uint8_t port;
};
struct fake_path fake_verbs_path(void);
/* How many ports there are, a bit for each that is down (bit 1 for port 1), and the flags of all (verbs.h,
 * IBV_QPF_GRH_REQUIRED). */
void fake_verbs_set_ports(uint8_t count, uint32_t down, uint8_t flags);
/* An entry of a port's GID table. As soon as there is one, there are no others than those that were added. */
void fake_verbs_add_gid(uint8_t port, uint32_t index, int is_routable, const uint8_t bytes[16]);
/* What the last queue pair was asked for. */
uint32_t fake_verbs_entries_per_request(void);

/* A completion for the next poll of any queue, and an event for its channel. At most 256. */
void fake_verbs_complete(uint64_t request_id, uint32_t status, uint32_t opcode, uint32_t byte_count,
                         int has_immediate, uint32_t immediate, uint32_t vendor_syndrome);
/* The completion of a message with bytes, for a receive whose number is 0 in its low 32 bits; one at a time. */
void fake_verbs_message(uint64_t request_id, const void *bytes, uint8_t count);
/* The first bytes of the last message with bytes that was sent. */
void fake_verbs_said(uint8_t *into, uint8_t count);
/* The next polls give this instead: a negative number; 0 to stop. */
void fake_verbs_poll_result(int result);
unsigned fake_verbs_unacknowledged(void);

/* The states that queue pairs have been led through, oldest first; -1 past the last. */
int fake_verbs_queue_pair_state(unsigned index);
uint32_t fake_verbs_queue_pair_mask(unsigned index);

/* The GID that the address handle of every connection leads to, ::ffff:10.0.0.7 to begin with as requests come from
 * there; NULL for paths without a GID. Its own GID is the table's entry 1. */
void fake_verbs_lead_to(const uint8_t gid[16]);
/* Devices whose connections are TCP connections. */
void fake_verbs_set_iwarp(int is);

/* An event of the connection manager, about the connection made last; a request brings a new one. */
void fake_verbs_event(uint32_t kind, int status, const void *private_data, uint8_t bytes);
/* One that comes when rdma_connect is called. */
void fake_verbs_event_after_connect(uint32_t kind, int status, const void *private_data, uint8_t bytes);
/* One that says how many bytes there are, and has none: what a faulty provider could give. */
void fake_verbs_event_without_data(uint32_t kind, uint8_t bytes);
/* What the last rdma_connect, rdma_accept or rdma_reject carried. */
uint8_t fake_verbs_private_data(uint8_t *into, uint8_t limit);
int fake_verbs_acknowledge_timeout(void);

/*
 * Connections between two ends of this process, from here on. What is posted, acknowledged or said to the connection
 * manager waits in lanes: how many have something, and let what is first in one arrive. The bytes that writes moved.
 */
void fake_network_begin(void);
unsigned fake_network_lanes(void);
void fake_network_deliver(unsigned lane);
/* All that has been posted arrives, unacknowledged; all that was said to the connection manager does. */
void fake_network_deliver_requests(void);
void fake_network_deliver_words(void);
uint64_t fake_network_moved(void);
/* The address that connection requests name as their own from here on; NULL for the true one. Their paths are true. */
void fake_network_claim(const char *address);
void fake_network_remove_device(void);
/* Reads of a queue pair that is connected to itself do not end until this is switched off; how many have not. */
void fake_network_hold_reads(int on);
unsigned fake_network_held_reads(void);
/* All connections fail, and both ends of each hear of it. */
void fake_network_break(void);

/* The monotonic clock of this thread stands still from here on. Whoever would wait in poll(2) calls `idle` instead, and
 * where that did nothing (0), the time of the wait has passed at once. */
void fake_verbs_stop_clock(int (*idle)(void *), void *argument);
void fake_verbs_pass_time(unsigned milliseconds);

/* fsync(2), rename(2) and linkat(2) of this thread are in the journal and can be made to fail; before the so-manieth of
 * them the process is killed. "open O_TMPFILE" can be made to fail, too, and what open(2) makes is in the journal. */
void fake_verbs_kill_before(const char *call);

/* Heap allocations that this thread has made so far: compare two readings. */
uint64_t fake_verbs_allocations(void);

/* Bytes that this thread has had compared in constant time, by CRYPTO_memcmp(3): compare two readings. */
uint64_t fake_verbs_compared(void);

#endif
