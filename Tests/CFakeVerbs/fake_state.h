/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the fake share. */
#ifndef PEERMR_FAKE_STATE_H
#define PEERMR_FAKE_STATE_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>

#include "fake_verbs.h"

/* A sanitizer has allocations of its own, and that of threads looks functions up before anything else runs: nobody
 * comes before it. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FAKE_SANITIZED
#endif
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define FAKE_WITHOUT_ALLOCATIONS
#endif
#if __has_feature(address_sanitizer)
#define FAKE_EARLY __attribute__((no_sanitize("address")))
#endif
#endif

/* A function of the C library that a sanitizer calls before it can be asked about memory. */
#ifndef FAKE_EARLY
#define FAKE_EARLY
#endif

/* The header's macros would turn our definitions into others. */
#undef ibv_reg_mr
#undef ibv_query_port

#define FAKE_DEVICES 4
#define FAKE_QUEUE 64
#define FAKE_LOG 256
#define FAKE_TEXT 160
#define FAKE_BUCKETS 65536

/* Every object begins with this, behind what the caller sees; it stays in memory until the end. */
struct fake_object {
    struct fake_object *next;
    struct fake_object *next_in_bucket;
    struct fake_object *parents[3];
    enum fake_kind kind;
    int children;
    bool alive;
    void *seen;  /* what the caller holds */
};

struct fake_event {
    struct rdma_cm_event event;
    struct rdma_event_channel *channel;
    uint8_t data[256];
};

/* What a key stands for: addresses as the device knows them, and the bytes behind them. */
struct fake_mapping {
    uint32_t local_key, remote_key;
    uint64_t iova, bytes;
    uint8_t *behind;
    size_t mapped;
    uint32_t access;
    /* Of a dma-buf. */
    uint64_t device, inode, offset;
    uint64_t stamp;
};

struct fake_astray {
    uint64_t first, count;
    int reading;
};

/* struct ibv_mr_init_attr of rdma-core 59. */
struct peermr_fake_mr_attributes {
    size_t length;
    int access;
    uint64_t comp_mask;
    uint64_t iova;
    void *addr;
    int fd;
    uint64_t fd_offset;
    void *dmah;
};

struct fake_state {
    struct ibv_device devices[FAKE_DEVICES];
    int device_count;
    struct fake_object *objects;
    /* The same by the address that the caller holds. */
    struct fake_object *buckets[FAKE_BUCKETS];
    struct ibv_context *manager_context;
    char journal[FAKE_LOG][FAKE_TEXT];
    unsigned journal_count;
    char complaints[FAKE_LOG][FAKE_TEXT];
    unsigned complaint_count;
    char failing[FAKE_TEXT];
    int failing_error;
    unsigned failing_skip, failing_times;
    uint64_t odp_general;
    uint32_t odp_reliable;
    uint32_t path_mtu, port_mtu;
    uint64_t registered_address, registered_bytes;
    uint32_t registered_access;
    uint32_t next_key;
    unsigned registration_time;
    uint64_t most_region_bytes;
    int most_regions;
    struct fake_request sends[FAKE_LOG];
    unsigned send_count;
    struct fake_request last_receive;
    unsigned receive_count;
    struct ibv_wc completions[FAKE_LOG];
    unsigned completion_count;
    int poll_result;
    unsigned pending_events, unacknowledged;
    struct ibv_cq *notifying;
    int states[FAKE_QUEUE];
    uint32_t masks[FAKE_QUEUE];
    unsigned state_count;
    struct fake_event *events[FAKE_QUEUE];
    unsigned event_count;
    struct fake_event *later[FAKE_QUEUE];
    unsigned later_count;
    struct rdma_event_channel *event_channel;
    struct rdma_cm_id *last_id;
    uint8_t private_data[256];
    uint8_t private_bytes;
    int acknowledge_timeout;
    char kernel[64];
    int buffers[FAKE_QUEUE];
    unsigned buffer_count;
    bool all_are_buffers, stamps;
    int buffer_probe_error;
    unsigned buffer_probes;
    struct fake_buffer_call buffer;
    bool has_new_calls;
    bool has_data_direct;
    int data_direct_error;
    char data_direct_path[256];
    struct peermr_fake_dmah hints;
    struct fake_mapping mappings[FAKE_BUCKETS];
    bool loops;
    struct fake_astray astray;
    uint32_t transfer_status;
    unsigned transfer_skip;
    uint8_t link_layer;
    uint8_t port_count, port_flags;
    uint32_t ports_down;
    struct ibv_gid_entry gids[FAKE_QUEUE];
    unsigned gid_count;
    struct fake_path path;
    uint32_t entries_per_request;
    int command_file;
    /* Connections between two ends; NULL where the test gives the answers. */
    struct fake_network *network;
    char kill_before[32];
    int device_channel;
    uint32_t device_events[FAKE_QUEUE];
    unsigned device_event_count, unacknowledged_device_events;
    int (*idle)(void *);
    void *idle_argument;
    bool is_idle;
    uint64_t now;  /* in nanoseconds; 0 for the real clock */
    union ibv_gid peer;
    bool leads_to_gid;
    /* A message for the receive numbered 0, and the last that was sent. */
    uint64_t first_place;
    uint8_t message[256], message_bytes, said[256];
    /* What the requests of the network claim to come from; NULL for the truth. */
    const char *claim;
};

/* This thread's; NULL outside begin and end. */
extern _Thread_local struct fake_state *fake;

/* A thread that has no fake works on that of a context for the time of a call; given back is what it had. */
struct fake_state *fake_enter(struct ibv_context *context);
void fake_leave(struct fake_state *before);

/* Held while objects are made and destroyed: threads may share them. May be taken again by who holds it. */
void fake_lock(void);
void fake_unlock(void);

/* A call by the C library's name: written down, the last that the process does, or made to fail: 0, or -1 and errno. */
int fake_step(const char *call);
void fake_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fake_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The errno that the call shall fail with; 0 where it shall work. Outside begin and end everything fails. */
int fake_failure(const char *call);

/* Memory that lives until the end, counted as an object. */
void *fake_make(enum fake_kind kind, size_t bytes, const char *call, void *parent_a, void *parent_b,
                void *parent_c);
/* The same, or NULL and errno when the call shall fail. */
void *fake_make_or_fail(enum fake_kind kind, size_t bytes, const char *call, void *parent);
/* Ends an object: 0, or EBUSY while something lives that was made from it. */
int fake_destroy(void *seen, enum fake_kind kind, const char *call);
/* Complains, and gives false, where a destroyed object is used. */
bool fake_check(void *seen, enum fake_kind kind, const char *call);
struct fake_object *fake_find(const void *seen);

struct ibv_context *fake_context(struct ibv_device *device, bool counted);

/* The object behind a context. */
void *fake_context_object(struct ibv_context *context);

/* Where every connection's queue pair leads. */
void fake_fill_path(struct ibv_ah_attr *handle, struct rdma_cm_id *id);

/* A region that the loop can find by its keys; `behind` is what its first byte lies at. */
struct ibv_mr *fake_register(struct ibv_pd *pd, const char *call, void *seen, size_t bytes, uint64_t iova,
                             uint8_t *behind, size_t mapped);
struct fake_mapping *fake_mapping_of(uint32_t key);
void fake_forget(struct ibv_mr *region);
/* What ioctl(2) has returned, after a name was put into its answer where the request is about a mapping. */
int fake_mapping(int result, unsigned long request, void *answer);
bool fake_is_buffer_region(const struct ibv_mr *region);
void fake_loop(const struct ibv_send_wr *work);
/* The bytes behind a key and an address; NULL where there are none. */
uint8_t *fake_place(uint32_t key, uint64_t address, uint64_t count);
void fake_fill_device_memory(struct verbs_context *context);

/* Posting and polling, which verbs.h calls through the context. */
void fake_fill_operations(struct ibv_context_ops *operations);

#endif
