/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch over transfers that the on-demand paging of Soft-RoCE would move wrongly, and report as successful.
 *
 * rule.c says which those are, watch.c knows the regions and queue pairs, posts.c and extended.c stand in the posting
 * calls of the devices that have such a region (and of no other), remote.c knows which remote memory is meant, report.c
 * counts and prints.
 */
#ifndef PEERMR_WATCH_H
#define PEERMR_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

enum watch_mode {
    WATCH_OFF,
    WATCH_REPORT, /* count, and say at exit */
    WATCH_REFUSE, /* a posting call returns EINVAL */
};

/* What PEERMR_WATCH says, by default refuse with PEERMR_WHOLE_PAGES and off without. */
enum watch_mode watch_mode(void);

/* rule.c */

enum wrong {
    RIGHT,
    BEGINS_INSIDE,  /* the first byte is not the first of a page */
    FOLLOWS_OTHERS, /* what comes before it in the message lets its packets begin inside pages */
    SMALL_PACKETS,  /* the path MTU is less than a page */
    BEHIND_HEADER,  /* a datagram's header of 40 bytes comes before the data */
    WRONG_KINDS,
};

enum { GRH_BYTES = 40 };

/* A part of a message, and the packets that it goes in. */
struct part {
    uint64_t address;
    uint64_t length;
    uint64_t before; /* bytes of the message before it */
    uint64_t page;   /* what a packet's bytes have to begin at a multiple of */
    uint64_t packet; /* bytes of a packet, at most a page */
    bool has_header; /* received from a datagram */
};
enum wrong watch_judge(const struct part *part);

/* watch.c */

/* A region that has to be guarded. Never freed, only used again. */
struct guarded {
    struct ibv_context *context;
    struct ibv_pd *pd;
    uint32_t lkey, rkey;
    uint64_t first, last;
    uint64_t page;
    struct guarded *next;
};

/* A queue pair that the program has modified. Never freed, only used again. */
struct pair {
    struct ibv_qp *qp;
    struct ibv_pd *pd;
    struct ibv_context *context;
    uint32_t number;         /* of the queue pair: one that went unseen may have had its address */
    _Atomic uint32_t packet; /* bytes of a packet; 0: not known */
    struct extended *extended;
    struct pair *next;
};

/* A device's context whose posting calls go through the watch, and the calls of its provider. */
struct watched {
    struct ibv_context *context;
    int (*post_send)(struct ibv_qp *, struct ibv_send_wr *, struct ibv_send_wr **);
    int (*post_recv)(struct ibv_qp *, struct ibv_recv_wr *, struct ibv_recv_wr **);
    int (*post_srq_recv)(struct ibv_srq *, struct ibv_recv_wr *, struct ibv_recv_wr **);
    int (*bind_mw)(struct ibv_qp *, struct ibv_mw *, struct ibv_mw_bind *);
    struct watched *next;
};

/* The region of a local key that an address lies in; NULL where it is none that has to be guarded. */
struct guarded *watch_region(struct ibv_context *context, uint32_t lkey, uint64_t address);

/* The largest packet of a queue pair, in bytes; `fallback` where it is not connected. */
uint32_t watch_packet(struct ibv_qp *qp, uint32_t fallback);

/* A queue pair whose calls go through the watch. */
struct pair *watch_pair(struct ibv_qp *qp);

/* The context's own calls. */
struct watched *watch_context(struct ibv_context *context);

/*
 * A region is about to be given to the program. False where it must not be: a queue pair of its domain has small
 * packets (`packet`, in bytes), or memory is short (0).
 */
bool watch_guard(struct ibv_mr *region, uint64_t first, uint64_t page, uint32_t *packet);

/* A region goes: what watch_restore needs where deregistering fails, NULL where it is none of the guarded ones. */
struct guarded *watch_forget(struct ibv_mr *region);
void watch_restore(struct guarded *guarded);
void watch_discard(struct guarded *guarded);

/* Whether a queue pair may be modified so. */
bool watch_admits(struct ibv_qp *qp, const struct ibv_qp_attr *attributes, int mask, const void *caller);
/* It has been. */
void watch_modified(struct ibv_qp *qp, const struct ibv_qp_attr *attributes, int mask, const void *caller);
/* Destroys it by this call; what that returns. */
int watch_destroy(struct ibv_qp *qp, int (*call)(struct ibv_qp *));

/* posts.c */

/* Puts the watch into the posting calls of a context that lacks it. */
void watch_enter(struct watched *watched);

/* extended.c: the calls ibv_wr_*, where `convert` (ibv_qp_to_qp_ex) says that the queue pair has them. */
void watch_extended(struct pair *pair, struct ibv_qp_ex *(*convert)(struct ibv_qp *));

/* remote.c */

enum remote {
    REMOTE_UNWATCHED,
    REMOTE_OWN,   /* this process's own region */
    REMOTE_NAMED, /* named by PEERMR_WATCH_REMOTE */
    REMOTE_ANY,   /* not known whose it is */
};
bool watch_is_remote_watched(void);
/* Whose memory a request is for; its page in bytes. */
enum remote watch_remote(uint32_t rkey, uint64_t address, uint64_t *page);
/* Counts a request to memory that is not known, by its key. */
void watch_count_remote(uint32_t rkey, bool is_wrong, uint64_t length);
void watch_report_remote(void);
void watch_reset_remote(void);
/* The region of this process that a remote key and address are of. */
struct guarded *watch_own(uint32_t rkey, uint64_t address);

/* report.c */

/* What has been found of a request. */
struct finding {
    const char *call;
    const void *caller;
    struct ibv_context *context;
    enum wrong wrong;
    enum remote remote; /* REMOTE_UNWATCHED: a local entry */
    bool is_received;
    uint32_t key;
    struct part part;
};
/* Counts and prints it; true where the request is refused. */
bool watch_report(const struct finding *finding);
/* A request on memory that is watched has been found right. */
void watch_count_right(void);
void watch_report_pair(struct ibv_qp *qp, uint32_t packet, const void *caller);
void watch_report_blind(struct ibv_context *context);
void watch_reset_counts(void);

#endif
