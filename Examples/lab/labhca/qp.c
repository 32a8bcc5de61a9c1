// SPDX-License-Identifier: GPL-2.0
/* Queue pairs: reliable connections between queue pairs of one device, or of one with itself. */
#include <linux/slab.h>

#include "labhca.h"

static void labhca_set_up_queue(struct labhca_queue *queue)
{
	INIT_LIST_HEAD(&queue->requests);
	queue->count = 0;
}

int labhca_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *init, struct ib_udata *udata)
{
	struct labhca *hca = to_labhca(ibqp->device);
	struct labhca_qp *qp = to_labhca_qp(ibqp);
	struct ib_qp_cap *cap = &init->cap;
	int ret;

	if (init->qp_type != IB_QPT_RC || init->srq || init->create_flags)
		return -EOPNOTSUPP;
	/* Work requests come by system call and without their data: none can be inline. */
	if (cap->max_inline_data || cap->max_send_wr > LABHCA_MAX_WR ||
	    cap->max_recv_wr > LABHCA_MAX_WR || cap->max_send_sge > LABHCA_MAX_SGE ||
	    cap->max_recv_sge > LABHCA_MAX_SGE)
		return -EINVAL;
	qp->hca = hca;
	qp->cap = *cap;
	qp->signal_all = init->sq_sig_type == IB_SIGNAL_ALL_WR;
	qp->state = IB_QPS_RESET;
	spin_lock_init(&qp->lock);
	labhca_set_up_queue(&qp->sends);
	labhca_set_up_queue(&qp->receives);
	INIT_DELAYED_WORK(&qp->work, labhca_work);
	ret = xa_alloc_cyclic(&hca->qps, &ibqp->qp_num, qp, XA_LIMIT(2, 0xfffffe), &hca->next_qp,
			      GFP_KERNEL);
	return ret < 0 ? ret : 0;
}

/* Stop a queue pair, and drop what is queued and what was completed. */
static void labhca_reset(struct labhca_qp *qp)
{
	struct labhca *hca = qp->hca;

	/* A request that is being carried out sees the state and ends; then `work` is free. */
	spin_lock(&qp->lock);
	qp->state = IB_QPS_RESET;
	spin_unlock(&qp->lock);
	mutex_lock(&hca->work);
	spin_lock(&qp->lock);
	labhca_drop(&qp->sends);
	labhca_drop(&qp->receives);
	spin_unlock(&qp->lock);
	labhca_forget(qp->ibqp.send_cq, &qp->ibqp);
	labhca_forget(qp->ibqp.recv_cq, &qp->ibqp);
	mutex_unlock(&hca->work);
}

int labhca_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata)
{
	struct labhca_qp *qp = to_labhca_qp(ibqp);

	/* Queue pairs find each other with `work` held: after labhca_reset none has found us. */
	xa_erase(&qp->hca->qps, ibqp->qp_num);
	labhca_reset(qp);
	cancel_delayed_work_sync(&qp->work);
	return 0;
}

static int labhca_check_attr(const struct ib_qp_attr *attr, int mask)
{
	if (mask & IB_QP_PORT && attr->port_num != 1)
		return -EINVAL;
	if (mask & IB_QP_PKEY_INDEX && attr->pkey_index != 0)
		return -EINVAL;
	if (mask & IB_QP_ALT_PATH)
		return -EOPNOTSUPP;
	return 0;
}

static void labhca_keep_attr(struct ib_qp_attr *kept, const struct ib_qp_attr *attr, int mask)
{
#define KEEP(flag, member)				\
	do {						\
		if (mask & (flag))			\
			kept->member = attr->member;	\
	} while (0)
	KEEP(IB_QP_ACCESS_FLAGS, qp_access_flags);
	KEEP(IB_QP_PKEY_INDEX, pkey_index);
	KEEP(IB_QP_PORT, port_num);
	KEEP(IB_QP_QKEY, qkey);
	KEEP(IB_QP_AV, ah_attr);
	KEEP(IB_QP_PATH_MTU, path_mtu);
	KEEP(IB_QP_TIMEOUT, timeout);
	KEEP(IB_QP_RETRY_CNT, retry_cnt);
	KEEP(IB_QP_RNR_RETRY, rnr_retry);
	KEEP(IB_QP_RQ_PSN, rq_psn);
	KEEP(IB_QP_SQ_PSN, sq_psn);
	KEEP(IB_QP_MAX_QP_RD_ATOMIC, max_rd_atomic);
	KEEP(IB_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic);
	KEEP(IB_QP_MIN_RNR_TIMER, min_rnr_timer);
	KEEP(IB_QP_PATH_MIG_STATE, path_mig_state);
	KEEP(IB_QP_DEST_QPN, dest_qp_num);
#undef KEEP
	/* The port points into the address only while the call lasts. */
	kept->ah_attr.grh.sgid_attr = NULL;
}

int labhca_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		     struct ib_udata *udata)
{
	struct labhca_qp *qp = to_labhca_qp(ibqp);
	enum ib_qp_state from, to;
	int ret = labhca_check_attr(attr, mask);

	if (ret)
		return ret;
	if (mask & ~IB_QP_ATTR_STANDARD_BITS)
		return -EOPNOTSUPP;
	spin_lock(&qp->lock);
	from = mask & IB_QP_CUR_STATE ? attr->cur_qp_state : qp->state;
	to = mask & IB_QP_STATE ? attr->qp_state : from;
	if (from != qp->state || !ib_modify_qp_is_ok(from, to, ibqp->qp_type, mask)) {
		spin_unlock(&qp->lock);
		return -EINVAL;
	}
	labhca_keep_attr(&qp->attr, attr, mask);
	qp->retries = qp->attr.rnr_retry;
	qp->state = to;
	spin_unlock(&qp->lock);
	if (to == IB_QPS_RESET)
		labhca_reset(qp);
	else
		mod_delayed_work(qp->hca->queue, &qp->work, 0);
	return 0;
}

int labhca_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		    struct ib_qp_init_attr *init)
{
	struct labhca_qp *qp = to_labhca_qp(ibqp);

	spin_lock(&qp->lock);
	*attr = qp->attr;
	attr->qp_state = qp->state;
	attr->cur_qp_state = qp->state;
	spin_unlock(&qp->lock);
	attr->cap = qp->cap;
	init->cap = qp->cap;
	init->qp_type = ibqp->qp_type;
	init->send_cq = ibqp->send_cq;
	init->recv_cq = ibqp->recv_cq;
	init->qp_context = ibqp->qp_context;
	init->sq_sig_type = qp->signal_all ? IB_SIGNAL_ALL_WR : IB_SIGNAL_REQ_WR;
	return 0;
}

static struct labhca_request *labhca_make_request(u64 wr_id, const struct ib_sge *sge, int count,
						  int limit)
{
	struct labhca_request *request;
	u64 length = 0;

	if (count < 0 || count > limit)
		return ERR_PTR(-EINVAL);
	/* Only user space posts here, by system call: sleeping is allowed. */
	request = kzalloc(struct_size(request, sge, count), GFP_KERNEL);
	if (!request)
		return ERR_PTR(-ENOMEM);
	request->wr_id = wr_id;
	request->count = count;
	for (int i = 0; i < count; i++) {
		request->sge[i] = sge[i];
		length += sge[i].length;
	}
	if (length > LABHCA_MAX_MESSAGE) {
		kfree(request);
		return ERR_PTR(-EINVAL);
	}
	request->length = length;
	return request;
}

static int labhca_append(struct labhca_qp *qp, struct labhca_queue *queue, u32 limit,
			 enum ib_qp_state least, struct labhca_request *request)
{
	int ret = 0;

	spin_lock(&qp->lock);
	/* In the error state requests are taken, and come back flushed. */
	if (qp->state < least)
		ret = -EINVAL;
	else if (queue->count >= limit)
		ret = -ENOMEM;
	if (!ret) {
		list_add_tail(&request->node, &queue->requests);
		queue->count++;
	}
	spin_unlock(&qp->lock);
	return ret;
}

static int labhca_post_one_send(struct labhca_qp *qp, const struct ib_send_wr *wr)
{
	struct labhca_request *request;
	int ret;

	switch (wr->opcode) {
	case IB_WR_SEND:
	case IB_WR_SEND_WITH_IMM:
	case IB_WR_RDMA_WRITE:
	case IB_WR_RDMA_WRITE_WITH_IMM:
	case IB_WR_RDMA_READ:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (wr->send_flags & IB_SEND_INLINE)
		return -EINVAL;
	request = labhca_make_request(wr->wr_id, wr->sg_list, wr->num_sge, qp->cap.max_send_sge);
	if (IS_ERR(request))
		return PTR_ERR(request);
	request->opcode = wr->opcode;
	request->flags = wr->send_flags;
	request->immediate = wr->ex.imm_data;
	if (wr->opcode != IB_WR_SEND && wr->opcode != IB_WR_SEND_WITH_IMM) {
		request->remote.addr = rdma_wr(wr)->remote_addr;
		request->remote.lkey = rdma_wr(wr)->rkey;
		request->remote.length = request->length;
	}
	ret = labhca_append(qp, &qp->sends, qp->cap.max_send_wr, IB_QPS_RTS, request);
	if (ret)
		kfree(request);
	return ret;
}

int labhca_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		     const struct ib_send_wr **bad)
{
	struct labhca_qp *qp = to_labhca_qp(ibqp);
	int ret = 0;

	for (; wr; wr = wr->next) {
		ret = labhca_post_one_send(qp, wr);
		if (ret) {
			*bad = wr;
			break;
		}
	}
	/* One that waits for a receiver is not hurried: the time is part of what was asked for. */
	queue_delayed_work(qp->hca->queue, &qp->work, 0);
	return ret;
}

int labhca_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		     const struct ib_recv_wr **bad)
{
	struct labhca_qp *qp = to_labhca_qp(ibqp);
	struct labhca_request *request;
	int ret = 0;

	for (; wr; wr = wr->next) {
		request = labhca_make_request(wr->wr_id, wr->sg_list, wr->num_sge,
					      qp->cap.max_recv_sge);
		ret = PTR_ERR_OR_ZERO(request);
		if (!ret) {
			ret = labhca_append(qp, &qp->receives, qp->cap.max_recv_wr, IB_QPS_INIT,
					    request);
			if (ret)
				kfree(request);
		}
		if (ret) {
			*bad = wr;
			break;
		}
	}
	if (READ_ONCE(qp->state) == IB_QPS_ERR)
		queue_delayed_work(qp->hca->queue, &qp->work, 0);
	return ret;
}
