// SPDX-License-Identifier: GPL-2.0
/*
 * Memory regions: host memory and dma-bufs, as lists of addresses for the DMA engine. On-demand
 * regions have none: see odp.c.
 */
#include <linux/dma-buf.h>
#include <linux/slab.h>
#include <rdma/ib_umem.h>
#include <rdma/restrack.h>
#include <rdma/uverbs_ioctl.h>

#include "labhca.h"

static struct labhca_region *to_region(struct ib_mr *ibmr)
{
	return container_of(ibmr, struct labhca_region, ibmr);
}

static struct labhca_region *labhca_make_region(struct labhca *hca, struct ib_pd *pd,
						struct ib_umem *umem, u64 length, u64 iova,
						int access)
{
	struct sg_table *table = &umem->sgt_append.sgt;
	struct labhca_region *region;
	struct scatterlist *sg;
	u64 total = 0;
	unsigned int i;

	region = kvzalloc(struct_size(region, segments, table->nents), GFP_KERNEL);
	if (!region)
		return ERR_PTR(-ENOMEM);
	region->count = table->nents;
	for_each_sgtable_dma_sg(table, sg, i) {
		region->segments[i].address = sg_dma_address(sg);
		region->segments[i].length = sg_dma_len(sg);
		total += sg_dma_len(sg);
	}
	/* The engine goes along the list by the region's length, not by the list's. */
	if (!umem->is_odp && total < ib_umem_offset(umem) + length) {
		kvfree(region);
		return ERR_PTR(-EINVAL);
	}
	region->hca = hca;
	region->pd = pd;
	region->umem = umem;
	region->offset = ib_umem_offset(umem);
	region->iova = iova;
	region->length = length;
	region->access = access;
	refcount_set(&region->users, 1);
	init_completion(&region->unused);
	return region;
}

/* Give the region its key: from here on work requests can reach it. */
static int labhca_publish(struct labhca *hca, struct labhca_region *region)
{
	u32 index;
	int ret;

	/* Found, but not under any key: those of work requests are 0x100 and more. */
	ret = xa_alloc_cyclic(&hca->regions, &index, region, XA_LIMIT(1, 0xffffff),
			      &hca->next_region, GFP_KERNEL);
	if (ret < 0)
		return ret;
	mutex_lock(&hca->engine.lock);
	region->key = index << 8 | hca->key_byte++;
	mutex_unlock(&hca->engine.lock);
	region->ibmr.lkey = region->key;
	region->ibmr.rkey = region->key;
	region->ibmr.iova = region->iova;
	region->ibmr.length = region->length;
	atomic64_inc(&hca->live_regions);
	return 0;
}

static int labhca_may_register(struct labhca *hca, u64 length, struct ib_dmah *dmah)
{
	if (hca->fail_registration)
		return -(int)hca->fail_registration;
	if (dmah)
		return -EOPNOTSUPP;
	return length ? 0 : -EINVAL;
}

struct ib_mr *labhca_reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 iova, int access,
				 LABHCA_DMAH_PARAMETER struct ib_udata *udata)
{
	struct labhca *hca = to_labhca(pd->device);
	struct labhca_region *region;
	struct ib_umem *umem;
	int ret;

	ret = labhca_may_register(hca, length, LABHCA_DMAH);
	if (ret)
		return ERR_PTR(ret);
	if (access & IB_ACCESS_ON_DEMAND)
		umem = labhca_odp_get(hca, start, length, access);
	else
		umem = ib_umem_get_va(&hca->ibdev, start, length, access);
	if (IS_ERR(umem))
		return ERR_CAST(umem);
	region = labhca_make_region(hca, pd, umem, length, iova, access);
	ret = PTR_ERR_OR_ZERO(region);
	if (!ret)
		ret = labhca_publish(hca, region);
	if (!ret)
		return &region->ibmr;
	ib_umem_release(umem);
	if (!IS_ERR(region))
		kvfree(region);
	return ERR_PTR(ret);
}

/*
 * The exporter wants its memory back, and holds the buffer's reservation lock. When this returns
 * the addresses are void: wait for a run of the engine that may be under way. The core calls it
 * at deregistration too.
 */
static void labhca_revoke(void *private)
{
	struct labhca_region *region = private;
	struct labhca *hca = region->hca;

	mutex_lock(&hca->engine.lock);
	if (!region->revoked && !region->closing)
		atomic64_inc(&hca->revocations);
	region->revoked = true;
	mutex_unlock(&hca->engine.lock);
}

static struct ib_umem_dmabuf *labhca_import(struct labhca *hca, u64 offset, u64 length, int fd,
					    int access, bool revocable)
{
	if (revocable)
		return ib_umem_dmabuf_get_pinned_revocable_and_lock(&hca->ibdev, offset, length, fd,
								    access);
	return ib_umem_dmabuf_get_pinned(&hca->ibdev, offset, length, fd, access);
}

struct ib_mr *labhca_reg_user_mr_dmabuf(struct ib_pd *pd, u64 offset, u64 length, u64 iova, int fd,
					int access, LABHCA_DMAH_PARAMETER
					struct uverbs_attr_bundle *attrs)
{
	struct labhca *hca = to_labhca(pd->device);
	bool revocable = READ_ONCE(hca->import) == LABHCA_IMPORT_REVOCABLE;
	struct ib_umem_dmabuf *dmabuf;
	struct labhca_region *region;
	int ret;

	ret = labhca_may_register(hca, length, LABHCA_DMAH);
	if (ret)
		return ERR_PTR(ret);
	dmabuf = labhca_import(hca, offset, length, fd, access, revocable);
	if (IS_ERR(dmabuf))
		return ERR_CAST(dmabuf);
	region = labhca_make_region(hca, pd, &dmabuf->umem, length, iova, access);
	if (revocable) {
		/* Between these two nothing can be revoked: the reservation lock is ours. */
		if (!IS_ERR(region))
			ib_umem_dmabuf_set_revoke_locked(dmabuf, labhca_revoke, region);
		ib_umem_dmabuf_revoke_unlock(dmabuf);
	}
	ret = PTR_ERR_OR_ZERO(region);
	if (!ret)
		ret = labhca_publish(hca, region);
	if (!ret)
		return &region->ibmr;
	if (!IS_ERR(region))
		region->closing = true;
	ib_umem_release(&dmabuf->umem);
	if (!IS_ERR(region))
		kvfree(region);
	return ERR_PTR(ret);
}

static void labhca_put_region(struct labhca_region *region)
{
	if (refcount_dec_and_test(&region->users))
		complete(&region->unused);
}

int labhca_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct labhca_region *region = to_region(ibmr);
	struct labhca *hca = region->hca;

	/*
	 * With the lock no run is under way, and with the key gone none will start, but for those
	 * on a page of an on-demand region: they hold it.
	 */
	mutex_lock(&hca->engine.lock);
	xa_erase(&hca->regions, region->key >> 8);
	region->closing = true;
	mutex_unlock(&hca->engine.lock);
	labhca_put_region(region);
	wait_for_completion(&region->unused);
	ib_umem_release(region->umem);
	atomic64_dec(&hca->live_regions);
	kvfree(region);
	return 0;
}

static int labhca_put_attributes(struct sk_buff *msg, struct labhca_region *region)
{
	u64 first = region->segments[0].address + region->offset;

	return rdma_nl_put_driver_string(msg, "memory",
					 region->umem->is_dmabuf ? "dmabuf" : "host") ||
	       rdma_nl_put_driver_u64_hex(msg, "dma", first) ||
	       rdma_nl_put_driver_u32(msg, "segments", region->count) ||
	       rdma_nl_put_driver_u32(msg, "revoked", READ_ONCE(region->revoked));
}

static int labhca_put_odp_attributes(struct sk_buff *msg, struct labhca_region *region)
{
	struct labhca_odp_state state;

	labhca_odp_describe(region->umem, &state);
	return rdma_nl_put_driver_string(msg, "memory", "on-demand") ||
	       rdma_nl_put_driver_string(msg, "route", state.route) ||
	       rdma_nl_put_driver_u64_hex(msg, "dma", state.first) ||
	       rdma_nl_put_driver_u32(msg, "pages", state.pages);
}

/* `rdma resource show mr -dd` tells where the engine finds the region. */
int labhca_fill_res_mr_entry(struct sk_buff *msg, struct ib_mr *ibmr)
{
	struct labhca_region *region = to_region(ibmr);
	struct nlattr *table = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);

	if (!table)
		return -EMSGSIZE;
	if (region->umem->is_odp ? labhca_put_odp_attributes(msg, region)
				 : labhca_put_attributes(msg, region)) {
		nla_nest_cancel(msg, table);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, table);
	return 0;
}

/* The region that `key` names, if all of the range is in it and may be used so. */
static struct labhca_region *labhca_find(struct labhca *hca, const struct labhca_side *side,
					 u32 key, u64 address, u32 length)
{
	struct labhca_region *region = xa_load(&hca->regions, key >> 8);

	lockdep_assert_held(&hca->engine.lock);
	if (!region || region->key != key || region->revoked || region->pd != side->pd)
		return NULL;
	if ((region->access & side->access) != side->access)
		return NULL;
	if (address < region->iova || length > region->length ||
	    address - region->iova > region->length - length)
		return NULL;
	return region;
}

/* Whether all memory of a side may be used; -EACCES if not. */
int labhca_check(struct labhca *hca, const struct labhca_side *side, u64 length)
{
	int ret = 0;

	mutex_lock(&hca->engine.lock);
	for (int i = 0; i < side->count && length && !ret; i++) {
		u32 here = min_t(u64, side->sge[i].length, length);

		if (here && !labhca_find(hca, side, side->sge[i].lkey, side->sge[i].addr, here))
			ret = -EACCES;
		length -= here;
	}
	mutex_unlock(&hca->engine.lock);
	return ret;
}

/* Move a range inside one region between memory and the buffer at `at`. */
static int labhca_move_range(struct labhca *hca, struct labhca_region *region, u64 from, u32 at,
			     u32 length, enum labhca_direction direction)
{
	struct labhca_segment *segment = region->segments;
	int ret;

	for (from += region->offset; from >= segment->length; segment++)
		from -= segment->length;
	while (length) {
		u32 here = min_t(u64, length, segment->length - from);

		ret = labhca_engine_run(&hca->engine, direction, segment->address + from, at, here);
		if (ret)
			return ret;
		at += here;
		length -= here;
		from = 0;
		segment++;
	}
	return 0;
}

/*
 * Move a range of the region under a key between memory and the buffer at `at`. It is looked up
 * for each piece: it may have been deregistered or revoked since the last one.
 */
static int labhca_move_by_key(struct labhca *hca, const struct labhca_side *side, u32 key,
			      u64 address, u32 at, u32 length, enum labhca_direction direction)
{
	struct labhca_region *region;
	bool on_demand;
	int ret = 0;

	mutex_lock(&hca->engine.lock);
	region = labhca_find(hca, side, key, address, length);
	on_demand = region && region->umem->is_odp;
	if (!region)
		ret = -EACCES;
	else if (on_demand)
		refcount_inc(&region->users);
	else
		ret = labhca_move_range(hca, region, address - region->iova, at, length, direction);
	mutex_unlock(&hca->engine.lock);
	if (on_demand) {
		ret = labhca_odp_move(hca, region, address - region->iova, at, length, direction);
		labhca_put_region(region);
	}
	return ret;
}

/* Move `length` bytes of a side, after the first `skip`, between memory and the buffer. */
int labhca_move(struct labhca *hca, const struct labhca_side *side, u64 skip, u32 length,
		enum labhca_direction direction)
{
	int ret = 0;
	u32 at = 0;

	for (int i = 0; i < side->count && at < length && !ret; i++) {
		const struct ib_sge *sge = &side->sge[i];
		u32 here;

		if (skip >= sge->length) {
			skip -= sge->length;
			continue;
		}
		here = min_t(u32, sge->length - skip, length - at);
		ret = labhca_move_by_key(hca, side, sge->lkey, sge->addr + skip, at, here,
					 direction);
		at += here;
		skip = 0;
	}
	return ret;
}
