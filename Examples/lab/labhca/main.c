// SPDX-License-Identifier: GPL-2.0
/*
 * labhca: an RDMA device made of QEMU's teaching device `edu`, for PeerMR's lab.
 *
 * Its parent is a PCI function with a DMA engine, so that all that the kernel checks of peer-to-
 * peer DMA is checked in earnest, and bytes cross the bus between two devices. It is slow, talks
 * only to itself, and is made for tests: see README.md.
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <rdma/ib_mad.h>
#include <rdma/uverbs_ioctl.h>

#include "labhca.h"

static bool no_dmabuf;
module_param(no_dmabuf, bool, 0444);
MODULE_PARM_DESC(no_dmabuf, "Be a device whose driver cannot register dma-bufs");

/* Local identifiers, as a subnet manager would give them; 0 is none. */
static DEFINE_IDA(labhca_lids);

static int labhca_query_device(struct ib_device *ibdev, struct ib_device_attr *attr,
			       struct ib_udata *udata)
{
	struct labhca *hca = to_labhca(ibdev);

	memset(attr, 0, sizeof(*attr));
	attr->fw_ver = 1;
	attr->sys_image_guid = ibdev->node_guid;
	attr->vendor_id = hca->engine.pdev->vendor;
	attr->vendor_part_id = hca->engine.pdev->device;
	attr->max_mr_size = U64_MAX;
	attr->page_size_cap = PAGE_SIZE;
	attr->max_qp = LABHCA_MAX_QP;
	attr->max_qp_wr = LABHCA_MAX_WR;
	attr->max_send_sge = LABHCA_MAX_SGE;
	attr->max_recv_sge = LABHCA_MAX_SGE;
	attr->max_sge_rd = LABHCA_MAX_SGE;
	attr->max_cq = LABHCA_MAX_CQ;
	attr->max_cqe = LABHCA_MAX_CQE;
	attr->max_mr = 1 << 20;
	attr->max_pd = 1 << 16;
	attr->max_qp_rd_atom = 16;
	attr->max_qp_init_rd_atom = 16;
	attr->max_res_rd_atom = 16 * LABHCA_MAX_QP;
	attr->atomic_cap = IB_ATOMIC_NONE;
	attr->max_pkeys = 1;
	attr->kernel_cap_flags = IBK_ON_DEMAND_PAGING;
	attr->odp_caps.general_caps = IB_ODP_SUPPORT;
	attr->odp_caps.per_transport_caps.rc_odp_caps = IB_ODP_SUPPORT_SEND | IB_ODP_SUPPORT_RECV |
							IB_ODP_SUPPORT_WRITE | IB_ODP_SUPPORT_READ;
	return 0;
}

static int labhca_query_port(struct ib_device *ibdev, u32 port, struct ib_port_attr *attr)
{
	attr->state = IB_PORT_ACTIVE;
	attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_4096;
	attr->max_msg_sz = LABHCA_MAX_MESSAGE;
	attr->gid_tbl_len = 1;
	attr->pkey_tbl_len = 1;
	attr->lid = to_labhca(ibdev)->lid;
	attr->sm_lid = attr->lid;
	attr->max_vl_num = 1;
	attr->active_width = IB_WIDTH_1X;
	attr->active_speed = IB_SPEED_SDR;
	return 0;
}

static int labhca_get_port_immutable(struct ib_device *ibdev, u32 port,
				     struct ib_port_immutable *immutable)
{
	immutable->gid_tbl_len = 1;
	immutable->pkey_tbl_len = 1;
	/* InfiniBand, but without management: nobody sends it datagrams. */
	immutable->core_cap_flags = RDMA_CORE_CAP_PROT_IB;
	return 0;
}

static enum rdma_link_layer labhca_get_link_layer(struct ib_device *ibdev, u32 port)
{
	return IB_LINK_LAYER_INFINIBAND;
}

static int labhca_query_gid(struct ib_device *ibdev, u32 port, int index, union ib_gid *gid)
{
	gid->global.subnet_prefix = cpu_to_be64(0xfe80000000000000ULL);
	gid->global.interface_id = ibdev->node_guid;
	return 0;
}

static int labhca_query_pkey(struct ib_device *ibdev, u32 port, u16 index, u16 *pkey)
{
	*pkey = IB_DEFAULT_PKEY_FULL;
	return 0;
}

static void labhca_get_dev_fw_str(struct ib_device *ibdev, char *str)
{
	strscpy(str, "edu", IB_FW_VERSION_NAME_MAX);
}

/* Contexts and protection domains hold nothing of ours: they only have to be different. */
struct labhca_ucontext {
	struct ib_ucontext ibuc;
};

struct labhca_pd {
	struct ib_pd ibpd;
};

static int labhca_alloc_ucontext(struct ib_ucontext *context, struct ib_udata *udata)
{
	return 0;
}

/* With this the device may go while programs have it open: they are left with an error. */
static void labhca_release_ucontext(struct ib_ucontext *context)
{
}

static int labhca_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int labhca_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

enum { RUNS, BYTES, REGIONS, REVOCATIONS, ODP_PAGES, INVALIDATIONS };

static const struct rdma_stat_desc labhca_stats[] = {
	[RUNS].name = "engine_runs",
	[BYTES].name = "bytes_moved",
	[REGIONS].name = "live_regions",
	[REVOCATIONS].name = "revocations",
	[ODP_PAGES].name = "odp_pages",
	[INVALIDATIONS].name = "odp_invalidations",
};

static struct rdma_hw_stats *labhca_alloc_hw_stats(struct ib_device *ibdev)
{
	return rdma_alloc_hw_stats_struct(labhca_stats, ARRAY_SIZE(labhca_stats), 0);
}

static int labhca_get_hw_stats(struct ib_device *ibdev, struct rdma_hw_stats *stats, u32 port,
			       int index)
{
	struct labhca *hca = to_labhca(ibdev);

	stats->value[RUNS] = atomic64_read(&hca->engine.runs);
	stats->value[BYTES] = atomic64_read(&hca->engine.bytes);
	stats->value[REGIONS] = atomic64_read(&hca->live_regions);
	stats->value[REVOCATIONS] = atomic64_read(&hca->revocations);
	stats->value[ODP_PAGES] = atomic64_read(&hca->odp_pages);
	stats->value[INVALIDATIONS] = atomic64_read(&hca->invalidations);
	return ARRAY_SIZE(labhca_stats);
}

static const struct ib_device_ops labhca_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,
	.uverbs_abi_ver = LABHCA_ABI_VERSION,
	.alloc_hw_device_stats = labhca_alloc_hw_stats,
	.alloc_pd = labhca_alloc_pd,
	.alloc_ucontext = labhca_alloc_ucontext,
	.create_cq = labhca_create_cq,
	.create_qp = labhca_create_qp,
	.dealloc_pd = labhca_dealloc_pd,
	.dealloc_ucontext = labhca_release_ucontext,
	.dereg_mr = labhca_dereg_mr,
	.destroy_cq = labhca_destroy_cq,
	.destroy_qp = labhca_destroy_qp,
	.disassociate_ucontext = labhca_release_ucontext,
	.fill_res_mr_entry = labhca_fill_res_mr_entry,
	.get_dev_fw_str = labhca_get_dev_fw_str,
	.get_hw_stats = labhca_get_hw_stats,
	.get_link_layer = labhca_get_link_layer,
	.get_port_immutable = labhca_get_port_immutable,
	.modify_qp = labhca_modify_qp,
	.poll_cq = labhca_poll_cq,
	.post_recv = labhca_post_recv,
	.post_send = labhca_post_send,
	.query_device = labhca_query_device,
	.query_gid = labhca_query_gid,
	.query_pkey = labhca_query_pkey,
	.query_port = labhca_query_port,
	.query_qp = labhca_query_qp,
	.reg_user_mr = labhca_reg_user_mr,
	.req_notify_cq = labhca_req_notify_cq,
	INIT_RDMA_OBJ_SIZE(ib_cq, labhca_cq, ibcq),
	INIT_RDMA_OBJ_SIZE(ib_pd, labhca_pd, ibpd),
	INIT_RDMA_OBJ_SIZE(ib_qp, labhca_qp, ibqp),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, labhca_ucontext, ibuc),
};

static const struct ib_device_ops labhca_dmabuf_ops = {
	.reg_user_mr_dmabuf = labhca_reg_user_mr_dmabuf,
};

/* Switches for tests, in the folder `labhca` of the PCI function. */
static const char * const labhca_imports[] = {
	[LABHCA_IMPORT_REVOCABLE] = "revocable",
	[LABHCA_IMPORT_PINNED] = "pinned",
};

static ssize_t import_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct labhca *hca = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", labhca_imports[READ_ONCE(hca->import)]);
}

static ssize_t import_store(struct device *dev, struct device_attribute *attr, const char *buf,
			    size_t count)
{
	struct labhca *hca = dev_get_drvdata(dev);
	int found = sysfs_match_string(labhca_imports, buf);

	if (found < 0)
		return found;
	WRITE_ONCE(hca->import, found);
	return count;
}
static DEVICE_ATTR_RW(import);

static ssize_t fail_registration_show(struct device *dev, struct device_attribute *attr,
				      char *buf)
{
	struct labhca *hca = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(hca->fail_registration));
}

static ssize_t fail_registration_store(struct device *dev, struct device_attribute *attr,
				       const char *buf, size_t count)
{
	struct labhca *hca = dev_get_drvdata(dev);
	unsigned int number;
	int ret = kstrtouint(buf, 10, &number);

	if (ret)
		return ret;
	if (number > MAX_ERRNO)
		return -ERANGE;
	WRITE_ONCE(hca->fail_registration, number);
	return count;
}
static DEVICE_ATTR_RW(fail_registration);

static struct attribute *labhca_attrs[] = {
	&dev_attr_import.attr,
	&dev_attr_fail_registration.attr,
	NULL
};

static const struct attribute_group labhca_group = {
	.name = "labhca",
	.attrs = labhca_attrs,
};

static const struct attribute_group *labhca_groups[] = {
	&labhca_group,
	NULL
};

static int labhca_register(struct labhca *hca, struct pci_dev *pdev)
{
	struct ib_device *ibdev = &hca->ibdev;

	mutex_init(&hca->work);
	xa_init_flags(&hca->regions, XA_FLAGS_ALLOC);
	xa_init_flags(&hca->qps, XA_FLAGS_ALLOC);
	ibdev->node_type = RDMA_NODE_IB_CA;
	ibdev->phys_port_cnt = 1;
	ibdev->num_comp_vectors = 1;
	ibdev->dev.parent = &pdev->dev;
	/* "lab", and the number of this one. */
	ibdev->node_guid = cpu_to_be64(0x026c6162UL << 32 | hca->lid);
	strscpy(ibdev->node_desc, "labhca", sizeof(ibdev->node_desc));
	/* Most devices have these in user space, and so they are off unless asked for. */
	ibdev->uverbs_cmd_mask |= BIT_ULL(IB_USER_VERBS_CMD_POLL_CQ) |
				  BIT_ULL(IB_USER_VERBS_CMD_REQ_NOTIFY_CQ) |
				  BIT_ULL(IB_USER_VERBS_CMD_POST_SEND) |
				  BIT_ULL(IB_USER_VERBS_CMD_POST_RECV);
	ib_set_device_ops(ibdev, &labhca_ops);
	if (!no_dmabuf)
		ib_set_device_ops(ibdev, &labhca_dmabuf_ops);
	return ib_register_device(ibdev, "labhca%d", &pdev->dev);
}

static int labhca_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct labhca *hca;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	hca = ib_alloc_device(labhca, ibdev);
	if (!hca)
		return -ENOMEM;
	pci_set_drvdata(pdev, hca);
	hca->lid = ida_alloc_range(&labhca_lids, 1, 0xbfff, GFP_KERNEL);
	if (hca->lid < 0) {
		ret = hca->lid;
		goto err_device;
	}
	hca->queue = alloc_ordered_workqueue("labhca-%s", 0, pci_name(pdev));
	if (!hca->queue) {
		ret = -ENOMEM;
		goto err_lid;
	}
	ret = labhca_engine_start(&hca->engine, pdev);
	if (ret)
		goto err_queue;
	ret = labhca_engine_test(&hca->engine);
	if (ret)
		goto err_engine;
	ret = labhca_register(hca, pdev);
	if (ret)
		goto err_engine;
	return 0;

err_engine:
	labhca_engine_stop(&hca->engine);
err_queue:
	destroy_workqueue(hca->queue);
err_lid:
	ida_free(&labhca_lids, hca->lid);
err_device:
	ib_dealloc_device(&hca->ibdev);
	return ret;
}

/* Unbound, unloaded or unplugged, with programs that use it or without. */
static void labhca_remove(struct pci_dev *pdev)
{
	struct labhca *hca = pci_get_drvdata(pdev);

	/* Requests that are being carried out end soon; then all that users hold is destroyed. */
	labhca_engine_forbid(&hca->engine);
	ib_unregister_device(&hca->ibdev);
	labhca_engine_stop(&hca->engine);
	destroy_workqueue(hca->queue);
	WARN_ON(!xa_empty(&hca->regions) || !xa_empty(&hca->qps));
	xa_destroy(&hca->regions);
	xa_destroy(&hca->qps);
	ida_free(&labhca_lids, hca->lid);
	ib_dealloc_device(&hca->ibdev);
}

static const struct pci_device_id labhca_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, labhca_ids);

static struct pci_driver labhca_driver = {
	.name = "labhca",
	.id_table = labhca_ids,
	.probe = labhca_probe,
	.remove = labhca_remove,
	.dev_groups = labhca_groups,
};
module_pci_driver(labhca_driver);

MODULE_DESCRIPTION("RDMA device over QEMU's edu, for tests of peer-to-peer DMA");
MODULE_LICENSE("GPL");
LABHCA_IMPORT_NS(DMA_BUF);
