// SPDX-License-Identifier: GPL-2.0
/*
 * The provider of libibverbs for labhca.
 *
 * The device has no queues that a program could map: everything is a system call, and libibverbs
 * has the helpers for all of them.
 */
#include <errno.h>
#include <stdlib.h>

#include <ccan/container_of.h>
#include <infiniband/driver.h>

#define LABHCA_ABI_VERSION	1

struct labhca_context {
	struct verbs_context verbs;
};

static int labhca_query_device(struct ibv_context *context,
			       const struct ibv_query_device_ex_input *input,
			       struct ibv_device_attr_ex *attr, size_t size)
{
	struct ib_uverbs_ex_query_device_resp response;
	size_t response_size = sizeof(response);

	return ibv_cmd_query_device_any(context, input, attr, size, &response, &response_size);
}

static int labhca_query_port(struct ibv_context *context, uint8_t port,
			     struct ibv_port_attr *attr)
{
	struct ibv_query_port command;

	return ibv_cmd_query_port(context, port, attr, &command, sizeof(command));
}

static struct ibv_pd *labhca_alloc_pd(struct ibv_context *context)
{
	struct ib_uverbs_alloc_pd_resp response;
	struct ibv_alloc_pd command;
	struct ibv_pd *pd = calloc(1, sizeof(*pd));

	if (!pd)
		return NULL;
	if (ibv_cmd_alloc_pd(context, pd, &command, sizeof(command), &response,
			     sizeof(response))) {
		free(pd);
		return NULL;
	}
	return pd;
}

static int labhca_dealloc_pd(struct ibv_pd *pd)
{
	int ret = ibv_cmd_dealloc_pd(pd);

	if (!ret)
		free(pd);
	return ret;
}

static struct ibv_mr *labhca_reg_mr(struct ibv_pd *pd, void *address, size_t length,
				    uint64_t iova, int access)
{
	struct ib_uverbs_reg_mr_resp response;
	struct ibv_reg_mr command;
	struct verbs_mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	if (ibv_cmd_reg_mr(pd, address, length, iova, access, mr, &command, sizeof(command),
			   &response, sizeof(response))) {
		free(mr);
		return NULL;
	}
	return &mr->ibv_mr;
}

static struct ibv_mr *labhca_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length,
					   uint64_t iova, int fd, int access)
{
	struct verbs_mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	if (ibv_cmd_reg_dmabuf_mr(pd, offset, length, iova, fd, access, mr, NULL)) {
		free(mr);
		return NULL;
	}
	return &mr->ibv_mr;
}

static int labhca_dereg_mr(struct verbs_mr *mr)
{
	int ret = ibv_cmd_dereg_mr(mr);

	if (!ret)
		free(mr);
	return ret;
}

static struct ibv_cq *labhca_create_cq(struct ibv_context *context, int count,
				       struct ibv_comp_channel *channel, int vector)
{
	struct ib_uverbs_create_cq_resp response;
	struct ibv_create_cq command;
	struct verbs_cq *cq = calloc(1, sizeof(*cq));
	int ret;

	if (!cq)
		return NULL;
	ret = ibv_cmd_create_cq(context, count, channel, vector, &cq->cq, &command,
				sizeof(command), &response, sizeof(response));
	if (ret) {
		free(cq);
		errno = ret;
		return NULL;
	}
	return &cq->cq;
}

static int labhca_destroy_cq(struct ibv_cq *cq)
{
	int ret = ibv_cmd_destroy_cq(cq);

	if (!ret)
		free(container_of(cq, struct verbs_cq, cq));
	return ret;
}

static struct ibv_qp *labhca_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct ib_uverbs_create_qp_resp response;
	struct ibv_create_qp command;
	struct verbs_qp *qp = calloc(1, sizeof(*qp));
	int ret;

	if (!qp)
		return NULL;
	ret = ibv_cmd_create_qp(pd, &qp->qp, attr, &command, sizeof(command), &response,
				sizeof(response));
	if (ret) {
		free(qp);
		errno = ret;
		return NULL;
	}
	return &qp->qp;
}

static int labhca_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
			   struct ibv_qp_init_attr *init)
{
	struct ibv_query_qp command;

	return ibv_cmd_query_qp(qp, attr, mask, init, &command, sizeof(command));
}

static int labhca_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	struct ibv_modify_qp command = {};

	return ibv_cmd_modify_qp(qp, attr, mask, &command, sizeof(command));
}

static int labhca_destroy_qp(struct ibv_qp *qp)
{
	int ret = ibv_cmd_destroy_qp(qp);

	if (!ret)
		free(container_of(qp, struct verbs_qp, qp));
	return ret;
}

static void labhca_free_context(struct ibv_context *context)
{
	struct verbs_context *verbs = container_of(context, struct verbs_context, context);

	verbs_uninit_context(verbs);
	free(container_of(verbs, struct labhca_context, verbs));
}

static const struct verbs_context_ops labhca_context_ops = {
	.alloc_pd = labhca_alloc_pd,
	.create_cq = labhca_create_cq,
	.create_qp = labhca_create_qp,
	.dealloc_pd = labhca_dealloc_pd,
	.dereg_mr = labhca_dereg_mr,
	.destroy_cq = labhca_destroy_cq,
	.destroy_qp = labhca_destroy_qp,
	.free_context = labhca_free_context,
	.modify_qp = labhca_modify_qp,
	.poll_cq = ibv_cmd_poll_cq,
	.post_recv = ibv_cmd_post_recv,
	.post_send = ibv_cmd_post_send,
	.query_device_ex = labhca_query_device,
	.query_port = labhca_query_port,
	.query_qp = labhca_query_qp,
	.reg_dmabuf_mr = labhca_reg_dmabuf_mr,
	.reg_mr = labhca_reg_mr,
	.req_notify_cq = ibv_cmd_req_notify_cq,
};

static struct verbs_context *labhca_alloc_context(struct ibv_device *device, int fd, void *data)
{
	struct ib_uverbs_get_context_resp response;
	struct labhca_context *context;
	struct ibv_get_context command;

	context = verbs_init_and_alloc_context(device, fd, context, verbs, RDMA_DRIVER_UNKNOWN);
	if (!context)
		return NULL;
	if (ibv_cmd_get_context(&context->verbs, &command, sizeof(command), &response,
				sizeof(response))) {
		verbs_uninit_context(&context->verbs);
		free(context);
		return NULL;
	}
	verbs_set_ops(&context->verbs, &labhca_context_ops);
	return &context->verbs;
}

static struct verbs_device *labhca_alloc_device(struct verbs_sysfs_dev *sysfs_dev)
{
	return calloc(1, sizeof(struct verbs_device));
}

static void labhca_uninit_device(struct verbs_device *device)
{
	free(device);
}

/* By the PCI function, so that the device may be renamed. */
static const struct verbs_match_ent labhca_match[] = {
	VERBS_PCI_MATCH(0x1234, 0x11e8, NULL),
	{},
};

static const struct verbs_device_ops labhca_device_ops = {
	.name = "labhca",
	.match_min_abi_version = LABHCA_ABI_VERSION,
	.match_max_abi_version = LABHCA_ABI_VERSION,
	.match_table = labhca_match,
	.alloc_device = labhca_alloc_device,
	.uninit_device = labhca_uninit_device,
	.alloc_context = labhca_alloc_context,
};
PROVIDER_DRIVER(labhca, labhca_device_ops);
