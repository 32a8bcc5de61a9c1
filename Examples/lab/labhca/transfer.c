// SPDX-License-Identifier: GPL-2.0
/*
 * What carries out work requests: requester and responder in one, as both ends are of this device.
 *
 * Only one request of a device is carried out at a time (the lock `work`): there is one engine
 * with one buffer. Whoever holds that lock may look at and take the heads of all queues; posting
 * only appends.
 */
#include <linux/slab.h>

#include "labhca.h"

#define NOT_READY_DELAY		msecs_to_jiffies(20)
#define RETRY_FOR_EVER		7

/* What comes of a request, besides the statuses that its completion can have. */
#define AGAIN_LATER		(-1)

void labhca_drop(struct labhca_queue *queue)
{
	struct labhca_request *request, *next;

	list_for_each_entry_safe(request, next, &queue->requests, node)
		kfree(request);
	INIT_LIST_HEAD(&queue->requests);
	queue->count = 0;
}

static struct labhca_request *labhca_head(struct labhca_qp *qp, struct labhca_queue *queue)
{
	struct labhca_request *request;

	spin_lock(&qp->lock);
	request = list_first_entry_or_null(&queue->requests, struct labhca_request, node);
	spin_unlock(&qp->lock);
	return request;
}

static void labhca_retire(struct labhca_qp *qp, struct labhca_queue *queue,
			  struct labhca_request *request)
{
	spin_lock(&qp->lock);
	list_del(&request->node);
	queue->count--;
	spin_unlock(&qp->lock);
	kfree(request);
}

static enum ib_wc_opcode labhca_completed(enum ib_wr_opcode opcode)
{
	switch (opcode) {
	case IB_WR_RDMA_READ:
		return IB_WC_RDMA_READ;
	case IB_WR_RDMA_WRITE:
	case IB_WR_RDMA_WRITE_WITH_IMM:
		return IB_WC_RDMA_WRITE;
	default:
		return IB_WC_SEND;
	}
}

static void labhca_complete_send(struct labhca_qp *qp, struct labhca_request *request,
				 enum ib_wc_status status)
{
	struct ib_wc wc = {
		.wr_id = request->wr_id,
		.status = status,
		.opcode = labhca_completed(request->opcode),
		.byte_len = request->length,
		.qp = &qp->ibqp,
	};

	if (status != IB_WC_SUCCESS || qp->signal_all || request->flags & IB_SEND_SIGNALED)
		labhca_complete(qp->ibqp.send_cq, &wc, false);
	labhca_retire(qp, &qp->sends, request);
}

/* Complete a receive; `send` is the request that it answers, or NULL when it is flushed. */
static void labhca_complete_receive(struct labhca_qp *qp, struct labhca_request *receive,
				    enum ib_wc_status status, const struct labhca_request *send,
				    u32 from)
{
	struct ib_wc wc = {
		.wr_id = receive->wr_id,
		.status = status,
		.opcode = IB_WC_RECV,
		.qp = &qp->ibqp,
		.src_qp = from,
		.slid = qp->hca->lid,
	};

	if (send) {
		wc.byte_len = send->length;
		if (send->opcode == IB_WR_RDMA_WRITE_WITH_IMM)
			wc.opcode = IB_WC_RECV_RDMA_WITH_IMM;
		if (send->opcode != IB_WR_SEND) {
			wc.wc_flags = IB_WC_WITH_IMM;
			wc.ex.imm_data = send->immediate;
		}
	}
	labhca_complete(qp->ibqp.recv_cq, &wc, send && send->flags & IB_SEND_SOLICITED);
	labhca_retire(qp, &qp->receives, receive);
}

/* Put a queue pair into the error state; its own work flushes it. */
static void labhca_fail(struct labhca_qp *qp, const enum ib_event_type *why)
{
	struct ib_event event = { .device = qp->ibqp.device, .element.qp = &qp->ibqp };
	bool first;

	spin_lock(&qp->lock);
	first = qp->state != IB_QPS_ERR && qp->state != IB_QPS_RESET;
	if (first)
		qp->state = IB_QPS_ERR;
	spin_unlock(&qp->lock);
	if (!first)
		return;
	if (why && qp->ibqp.event_handler) {
		event.event = *why;
		qp->ibqp.event_handler(&event, qp->ibqp.qp_context);
	}
	mod_delayed_work(qp->hca->queue, &qp->work, 0);
}

static void labhca_fail_responder(struct labhca_qp *peer, enum ib_event_type why)
{
	labhca_fail(peer, &why);
}

static void labhca_flush(struct labhca_qp *qp)
{
	struct labhca_request *request;

	while ((request = labhca_head(qp, &qp->sends)))
		labhca_complete_send(qp, request, IB_WC_WR_FLUSH_ERR);
	while ((request = labhca_head(qp, &qp->receives)))
		labhca_complete_receive(qp, request, IB_WC_WR_FLUSH_ERR, NULL, 0);
}

/* The queue pair at the other end, if it is one of this device and thinks so too. */
static struct labhca_qp *labhca_peer(struct labhca_qp *qp)
{
	const struct rdma_ah_attr *address = &qp->attr.ah_attr;
	struct labhca_qp *peer;

	if (rdma_ah_get_dlid(address) != qp->hca->lid)
		return NULL;
	peer = xa_load(&qp->hca->qps, qp->attr.dest_qp_num);
	if (!peer || peer->attr.dest_qp_num != qp->ibqp.qp_num)
		return NULL;
	switch (READ_ONCE(peer->state)) {
	case IB_QPS_RTR:
	case IB_QPS_RTS:
	case IB_QPS_SQD:
		return peer;
	default:
		return NULL;
	}
}

enum labhca_outcome { COPIED, SOURCE_REFUSED, TARGET_REFUSED, BROKEN, STOPPED };

/* Whether a copy between these two is to be broken off: one of them was stopped meanwhile. */
static bool labhca_stopped(struct labhca_qp *qp, struct labhca_qp *peer)
{
	enum ib_qp_state here = READ_ONCE(qp->state), there = READ_ONCE(peer->state);

	return here < IB_QPS_RTS || here == IB_QPS_ERR || there < IB_QPS_RTR ||
	       there == IB_QPS_ERR;
}

static enum labhca_outcome labhca_copy(struct labhca_qp *qp, struct labhca_qp *peer,
				       const struct labhca_side *source,
				       const struct labhca_side *target, u32 length)
{
	struct labhca *hca = qp->hca;
	u32 done, here;
	int ret;

	/* All of it is looked at before a byte is moved. */
	if (labhca_check(hca, source, length))
		return SOURCE_REFUSED;
	if (labhca_check(hca, target, length))
		return TARGET_REFUSED;
	for (done = 0; done < length; done += here) {
		here = min(length - done, LABHCA_BUFFER);
		if (labhca_stopped(qp, peer))
			return STOPPED;
		ret = labhca_move(hca, source, done, here, LABHCA_FILL);
		if (ret)
			return ret == -EACCES ? SOURCE_REFUSED : BROKEN;
		ret = labhca_move(hca, target, done, here, LABHCA_DRAIN);
		if (ret)
			return ret == -EACCES ? TARGET_REFUSED : BROKEN;
	}
	return COPIED;
}

static int labhca_rdma(struct labhca_qp *qp, struct labhca_qp *peer,
		       struct labhca_request *request)
{
	bool read = request->opcode == IB_WR_RDMA_READ;
	int right = read ? IB_ACCESS_REMOTE_READ : IB_ACCESS_REMOTE_WRITE;
	struct labhca_side local = { qp->ibqp.pd, request->sge, request->count,
				     read ? IB_ACCESS_LOCAL_WRITE : 0 };
	struct labhca_side remote = { peer->ibqp.pd, &request->remote, 1, right };
	enum labhca_outcome outcome;

	if (!(peer->attr.qp_access_flags & right)) {
		labhca_fail_responder(peer, IB_EVENT_QP_REQ_ERR);
		return IB_WC_REM_INV_REQ_ERR;
	}
	outcome = read ? labhca_copy(qp, peer, &remote, &local, request->length)
		       : labhca_copy(qp, peer, &local, &remote, request->length);
	switch (outcome) {
	case COPIED:
		return IB_WC_SUCCESS;
	case STOPPED:
		return IB_WC_WR_FLUSH_ERR;
	case BROKEN:
		return IB_WC_FATAL_ERR;
	default:
		break;
	}
	if ((outcome == SOURCE_REFUSED) != read)
		return IB_WC_LOC_PROT_ERR;
	labhca_fail_responder(peer, IB_EVENT_QP_ACCESS_ERR);
	return IB_WC_REM_ACCESS_ERR;
}

static int labhca_send(struct labhca_qp *qp, struct labhca_qp *peer,
		       struct labhca_request *request, struct labhca_request *receive)
{
	struct labhca_side local = { qp->ibqp.pd, request->sge, request->count, 0 };
	struct labhca_side remote = { peer->ibqp.pd, receive->sge, receive->count,
				      IB_ACCESS_LOCAL_WRITE };
	enum ib_wc_status there;

	if (request->length > receive->length) {
		there = IB_WC_LOC_LEN_ERR;
	} else {
		switch (labhca_copy(qp, peer, &local, &remote, request->length)) {
		case COPIED:
			return IB_WC_SUCCESS;
		case SOURCE_REFUSED:
			return IB_WC_LOC_PROT_ERR;
		case BROKEN:
			return IB_WC_FATAL_ERR;
		case STOPPED:
			return IB_WC_WR_FLUSH_ERR;
		default:
			there = IB_WC_LOC_PROT_ERR;
		}
	}
	labhca_complete_receive(peer, receive, there, request, qp->ibqp.qp_num);
	labhca_fail_responder(peer, IB_EVENT_QP_FATAL);
	return there == IB_WC_LOC_LEN_ERR ? IB_WC_REM_INV_REQ_ERR : IB_WC_REM_OP_ERR;
}

/* Carry out one request; returns the status of its completion, or AGAIN_LATER. */
static int labhca_carry_out(struct labhca_qp *qp, struct labhca_request *request)
{
	struct labhca_request *receive = NULL;
	struct labhca_qp *peer = labhca_peer(qp);
	bool sends = request->opcode == IB_WR_SEND || request->opcode == IB_WR_SEND_WITH_IMM;
	int status;

	/* Packets to nobody are answered by nobody. */
	if (!peer)
		return IB_WC_RETRY_EXC_ERR;
	if (sends || request->opcode == IB_WR_RDMA_WRITE_WITH_IMM) {
		receive = labhca_head(peer, &peer->receives);
		if (!receive) {
			if (!qp->retries)
				return IB_WC_RNR_RETRY_EXC_ERR;
			if (qp->attr.rnr_retry != RETRY_FOR_EVER)
				qp->retries--;
			return AGAIN_LATER;
		}
	}
	qp->retries = qp->attr.rnr_retry;
	if (sends)
		status = labhca_send(qp, peer, request, receive);
	else
		status = labhca_rdma(qp, peer, request);
	if (status == IB_WC_SUCCESS && receive)
		labhca_complete_receive(peer, receive, status, request, qp->ibqp.qp_num);
	return status;
}

void labhca_work(struct work_struct *work)
{
	struct labhca_qp *qp = container_of(to_delayed_work(work), struct labhca_qp, work);
	struct labhca *hca = qp->hca;
	struct labhca_request *request;
	int status = IB_WC_SUCCESS;

	mutex_lock(&hca->work);
	switch (READ_ONCE(qp->state)) {
	case IB_QPS_RTS:
		request = labhca_head(qp, &qp->sends);
		if (!request)
			break;
		status = labhca_carry_out(qp, request);
		if (status != AGAIN_LATER && READ_ONCE(qp->state) != IB_QPS_RESET)
			labhca_complete_send(qp, request, status);
		if (status != AGAIN_LATER && status != IB_WC_SUCCESS)
			labhca_fail(qp, NULL);
		break;
	case IB_QPS_ERR:
		labhca_flush(qp);
		break;
	default:
		break;
	}
	/* One request each time, so that queue pairs take turns. */
	if (READ_ONCE(qp->state) != IB_QPS_RESET && labhca_head(qp, &qp->sends))
		queue_delayed_work(hca->queue, &qp->work,
				   status == AGAIN_LATER ? NOT_READY_DELAY : 0);
	mutex_unlock(&hca->work);
}
