/* SPDX-License-Identifier: GPL-2.0 */
/*
 * labhca: an RDMA device made of QEMU's teaching device `edu`.
 *
 * Locks, outermost first:
 *   work      held while one work request is carried out; whoever holds it owns the queues' heads
 *   umem_mutex   of an on-demand region: held while the engine runs on one of its pages
 *   engine    held while the DMA engine runs and the region that it runs on is looked at
 *   qp->lock, cq->lock   held for a few instructions
 * The reservation lock of a dma-buf is taken outside of `engine` (an exporter revokes with it
 * held), and never inside. Reclaim may wait for `umem_mutex`, and so for `engine`: nothing that can
 * reclaim memory, such as an allocation, is done with one of them held.
 */
#ifndef LABHCA_H
#define LABHCA_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <rdma/ib_verbs.h>

#include "compat.h"

#define LABHCA_ABI_VERSION	1

#define LABHCA_MAX_QP		1024
#define LABHCA_MAX_CQ		1024
#define LABHCA_MAX_WR		4096
#define LABHCA_MAX_SGE		16
#define LABHCA_MAX_CQE		65536
#define LABHCA_MAX_MESSAGE	(1U << 30)

/*
 * The engine's buffer has 4096 bytes, but QEMU before 8.2.1 takes a run that touches the last of
 * them for one out of range, and aborts.
 */
#define LABHCA_BUFFER		4095U

/* The DMA engine of edu: moves bytes between its buffer and an address on the bus. */
struct labhca_engine {
	struct pci_dev *pdev;
	void __iomem *registers;
	struct mutex lock;
	struct completion done;
	bool gone;		/* no run is started any more */
	atomic64_t runs;
	atomic64_t bytes;
};

enum labhca_direction {
	LABHCA_FILL,		/* from memory to the engine's buffer */
	LABHCA_DRAIN,		/* from the engine's buffer to memory */
};

/* How a dma-buf is imported. */
enum labhca_import {
	LABHCA_IMPORT_REVOCABLE,	/* pinned, and given back when the exporter asks for it */
	LABHCA_IMPORT_PINNED,		/* pinned for good: an exporter that wants to revoke refuses */
};

struct labhca {
	struct ib_device ibdev;		/* must be first */
	struct labhca_engine engine;
	int lid;
	struct mutex work;
	struct workqueue_struct *queue;
	struct xarray regions;		/* by key >> 8; looked at and erased under engine.lock */
	struct xarray qps;		/* by number */
	u32 next_region, next_qp;
	u8 key_byte;			/* the low byte of the next key, so that an old key is wrong */
	enum labhca_import import;
	unsigned int fail_registration;	/* the errno to refuse registrations with, or 0 */
	atomic64_t live_regions;
	atomic64_t revocations;
	atomic64_t odp_pages;		/* on which the engine ran */
	atomic64_t invalidations;	/* of pages of on-demand regions, by the process's mapping */
};

struct labhca_segment {
	dma_addr_t address;
	u64 length;
};

struct labhca_region {
	struct ib_mr ibmr;
	struct labhca *hca;
	struct ib_pd *pd;
	struct ib_umem *umem;
	u32 key;			/* under engine.lock; 0 until it has one */
	u64 iova, length;
	u64 offset;			/* of the first byte in the first segment */
	int access;
	bool revoked, closing;		/* under engine.lock */
	refcount_t users;		/* its key, and work that goes on without engine.lock */
	struct completion unused;
	unsigned int count;		/* 0 for an on-demand region */
	struct labhca_segment segments[] __counted_by(count);
};

struct labhca_cq {
	struct ib_cq ibcq;
	spinlock_t lock;
	struct ib_wc *ring;
	u32 size, first, count;
	bool armed, solicited_only, overrun;
};

/* A posted work request, send or receive. */
struct labhca_request {
	struct list_head node;
	u64 wr_id;
	enum ib_wr_opcode opcode;
	int flags;
	__be32 immediate;
	struct ib_sge remote;
	u32 length;
	int count;
	struct ib_sge sge[] __counted_by(count);
};

struct labhca_queue {
	struct list_head requests;
	u32 count;
};

struct labhca_qp {
	struct ib_qp ibqp;
	struct labhca *hca;
	spinlock_t lock;		/* of the state and the queues */
	enum ib_qp_state state;
	struct ib_qp_attr attr;
	struct ib_qp_cap cap;
	bool signal_all;
	struct labhca_queue sends, receives;
	struct delayed_work work;
	u8 retries;			/* when the receiver is not ready; those that are left */
};

/* What an on-demand region is at the moment. */
struct labhca_odp_state {
	size_t pages;			/* that are known to the device */
	dma_addr_t first;		/* of the first byte, if its page is one of them */
	const char *route;		/* of that page */
};

/* One side of a copy: memory that is named by keys. */
struct labhca_side {
	struct ib_pd *pd;
	const struct ib_sge *sge;
	int count;
	int access;			/* that the regions must give */
};

static inline struct labhca *to_labhca(struct ib_device *ibdev)
{
	return container_of(ibdev, struct labhca, ibdev);
}

static inline struct labhca_qp *to_labhca_qp(struct ib_qp *ibqp)
{
	return container_of(ibqp, struct labhca_qp, ibqp);
}

static inline struct labhca_cq *to_labhca_cq(struct ib_cq *ibcq)
{
	return container_of(ibcq, struct labhca_cq, ibcq);
}

/* engine.c */
int labhca_engine_start(struct labhca_engine *engine, struct pci_dev *pdev);
int labhca_engine_test(struct labhca_engine *engine);
void labhca_engine_forbid(struct labhca_engine *engine);
void labhca_engine_stop(struct labhca_engine *engine);
int labhca_engine_run(struct labhca_engine *engine, enum labhca_direction direction,
		      dma_addr_t address, u32 at, u32 length);

/* region.c */
struct ib_mr *labhca_reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 iova, int access,
				 LABHCA_DMAH_PARAMETER struct ib_udata *udata);
struct ib_mr *labhca_reg_user_mr_dmabuf(struct ib_pd *pd, u64 offset, u64 length, u64 iova, int fd,
					int access, LABHCA_DMAH_PARAMETER
					struct uverbs_attr_bundle *attrs);
int labhca_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata);
int labhca_fill_res_mr_entry(struct sk_buff *msg, struct ib_mr *ibmr);
int labhca_check(struct labhca *hca, const struct labhca_side *side, u64 length);
int labhca_move(struct labhca *hca, const struct labhca_side *side, u64 skip, u32 length,
		enum labhca_direction direction);

/* odp.c */
struct ib_umem *labhca_odp_get(struct labhca *hca, u64 start, u64 length, int access);
void labhca_odp_describe(struct ib_umem *umem, struct labhca_odp_state *state);
int labhca_odp_move(struct labhca *hca, struct labhca_region *region, u64 from, u32 at, u32 length,
		    enum labhca_direction direction);

/* cq.c */
int labhca_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		     struct uverbs_attr_bundle *attrs);
int labhca_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata);
int labhca_poll_cq(struct ib_cq *ibcq, int count, struct ib_wc *wc);
int labhca_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags flags);
void labhca_complete(struct ib_cq *ibcq, const struct ib_wc *wc, bool solicited);
void labhca_forget(struct ib_cq *ibcq, struct ib_qp *ibqp);

/* qp.c */
int labhca_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *init, struct ib_udata *udata);
int labhca_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		     struct ib_udata *udata);
int labhca_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		    struct ib_qp_init_attr *init);
int labhca_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata);
int labhca_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		     const struct ib_send_wr **bad);
int labhca_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		     const struct ib_recv_wr **bad);

/* transfer.c */
void labhca_work(struct work_struct *work);
void labhca_drop(struct labhca_queue *queue);

#endif
