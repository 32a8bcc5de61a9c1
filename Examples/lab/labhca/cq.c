// SPDX-License-Identifier: GPL-2.0
/* Completion queues: rings in the kernel, polled by system call. */
#include <linux/slab.h>

#include "labhca.h"

int labhca_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		     struct uverbs_attr_bundle *attrs)
{
	struct labhca_cq *cq = to_labhca_cq(ibcq);

	if (attr->flags)
		return -EOPNOTSUPP;
	if (!attr->cqe || attr->cqe > LABHCA_MAX_CQE)
		return -EINVAL;
	cq->ring = kvcalloc(attr->cqe, sizeof(*cq->ring), GFP_KERNEL);
	if (!cq->ring)
		return -ENOMEM;
	spin_lock_init(&cq->lock);
	cq->size = attr->cqe;
	ibcq->cqe = attr->cqe;
	return 0;
}

int labhca_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata)
{
	kvfree(to_labhca_cq(ibcq)->ring);
	return 0;
}

int labhca_poll_cq(struct ib_cq *ibcq, int count, struct ib_wc *wc)
{
	struct labhca_cq *cq = to_labhca_cq(ibcq);
	int taken;

	spin_lock(&cq->lock);
	for (taken = 0; taken < count && cq->count; taken++, cq->count--) {
		wc[taken] = cq->ring[cq->first];
		cq->first = (cq->first + 1) % cq->size;
	}
	spin_unlock(&cq->lock);
	return taken;
}

int labhca_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags flags)
{
	struct labhca_cq *cq = to_labhca_cq(ibcq);
	int missed;

	spin_lock(&cq->lock);
	cq->armed = true;
	cq->solicited_only = (flags & IB_CQ_SOLICITED_MASK) == IB_CQ_SOLICITED;
	missed = flags & IB_CQ_REPORT_MISSED_EVENTS && cq->count;
	spin_unlock(&cq->lock);
	return missed;
}

/* Add a completion, and wake waiters. */
void labhca_complete(struct ib_cq *ibcq, const struct ib_wc *wc, bool solicited)
{
	struct labhca_cq *cq = to_labhca_cq(ibcq);
	struct ib_event event = {
		.device = ibcq->device,
		.element.cq = ibcq,
		.event = IB_EVENT_CQ_ERR,
	};
	bool full, notify;

	spin_lock(&cq->lock);
	full = cq->count == cq->size;
	if (!full)
		cq->ring[(cq->first + cq->count++) % cq->size] = *wc;
	notify = cq->armed && !full &&
		 (!cq->solicited_only || solicited || wc->status != IB_WC_SUCCESS);
	if (notify)
		cq->armed = false;
	/* It has lost a completion; said once, as the queue is of no use any more. */
	full = full && !cq->overrun;
	cq->overrun = cq->overrun || full;
	spin_unlock(&cq->lock);
	if (notify && ibcq->comp_handler)
		ibcq->comp_handler(ibcq, ibcq->cq_context);
	if (full && ibcq->event_handler)
		ibcq->event_handler(&event, ibcq->cq_context);
}

/* Drop the completions of a queue pair that is going away: they point at it. */
void labhca_forget(struct ib_cq *ibcq, struct ib_qp *ibqp)
{
	struct labhca_cq *cq = to_labhca_cq(ibcq);
	u32 kept = 0;

	spin_lock(&cq->lock);
	for (u32 i = 0; i < cq->count; i++) {
		struct ib_wc *wc = &cq->ring[(cq->first + i) % cq->size];

		if (wc->qp != ibqp)
			cq->ring[(cq->first + kept++) % cq->size] = *wc;
	}
	cq->count = kept;
	spin_unlock(&cq->lock);
}
