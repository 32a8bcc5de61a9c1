// SPDX-License-Identifier: GPL-2.0
/*
 * On-demand paging: regions over addresses of a process, whose pages are looked up when the engine
 * needs them and forgotten when the process's mapping changes.
 *
 * The notifier of a change takes umem_mutex. The engine runs on a page with umem_mutex held, so
 * that a change waits until the run has ended. A page is faulted in with no lock of ours held:
 * that takes the mmap lock, which is outside of umem_mutex.
 */
#include <linux/hmm.h>
#include <linux/pci-p2pdma.h>
#include <rdma/ib_umem_odp.h>

#include "labhca.h"

#if LABHCA_ODP_UNCHECKED
#define READ_PAGE	ODP_READ_ALLOWED_BIT
#define WRITE_PAGE	(ODP_READ_ALLOWED_BIT | ODP_WRITE_ALLOWED_BIT)

static bool labhca_page_is_present(struct ib_umem_odp *odp, size_t index)
{
	return odp->dma_list[index];
}

/* The core has mapped it already, whatever it is a page of. */
static int labhca_map_page(struct ib_umem_odp *odp, size_t index, dma_addr_t *address)
{
	*address = odp->dma_list[index] & ODP_DMA_ADDR_MASK;
	return 0;
}

static const char *labhca_page_route(struct ib_umem_odp *odp, size_t index)
{
	return "unchecked";
}
#else
#define READ_PAGE	0
#define WRITE_PAGE	HMM_PFN_WRITE

static bool labhca_page_is_present(struct ib_umem_odp *odp, size_t index)
{
	return odp->map.pfn_list[index] & HMM_PFN_VALID;
}

/* Have the kernel decide on the page and map it; does nothing to one that is mapped. */
static int labhca_map_page(struct ib_umem_odp *odp, size_t index, dma_addr_t *address)
{
	struct device *dev = odp->umem.ibdev->dma_device;
	struct pci_p2pdma_map_state state = {};

	*address = hmm_dma_map_pfn(dev, &odp->map, index, &state);
	return dma_mapping_error(dev, *address) ? -EFAULT : 0;
}

/* What the kernel decided on a page that is mapped. */
static const char *labhca_page_route(struct ib_umem_odp *odp, size_t index)
{
	unsigned long pfn = odp->map.pfn_list[index];

	if (pfn & HMM_PFN_P2PDMA_BUS)
		return "bus-address";
	return pfn & HMM_PFN_P2PDMA ? "host-bridge" : "host-memory";
}
#endif

/* The process's mapping changes: when this returns, the engine does not touch the pages. */
static bool labhca_odp_invalidate(struct mmu_interval_notifier *notifier,
				  const struct mmu_notifier_range *range, unsigned long sequence)
{
	struct ib_umem_odp *odp = container_of(notifier, struct ib_umem_odp, notifier);
	u64 start = max_t(u64, ib_umem_start(odp), range->start);
	u64 end = min_t(u64, ib_umem_end(odp), range->end);

	if (!mmu_notifier_range_blockable(range))
		return false;
	mutex_lock(&odp->umem_mutex);
	mmu_interval_set_seq(notifier, sequence);
	ib_umem_odp_unmap_dma_pages(odp, start, end);
	mutex_unlock(&odp->umem_mutex);
	atomic64_inc(&to_labhca(odp->umem.ibdev)->invalidations);
	return true;
}

static const struct mmu_interval_notifier_ops labhca_odp_notifier = {
	.invalidate = labhca_odp_invalidate,
};

/*
 * Map the pages that are present, as mlx5 does at registration: memory that the engine cannot
 * reach is refused then, and not at its first use. Absent pages are left for that.
 */
static int labhca_odp_map_present(struct ib_umem_odp *odp)
{
	u64 start = ib_umem_start(odp), length = ib_umem_end(odp) - start;
	dma_addr_t address;
	int ret;

	ret = ib_umem_odp_map_dma_and_lock(odp, start, length,
					   odp->umem.writable ? WRITE_PAGE : READ_PAGE, false);
	if (ret < 0)
		return ret;
	ret = 0;
	for (size_t index = 0; index < ib_umem_odp_num_pages(odp) && !ret; index++) {
		if (labhca_page_is_present(odp, index))
			ret = labhca_map_page(odp, index, &address);
	}
	mutex_unlock(&odp->umem_mutex);
	return ret;
}

/* A region's memory; released by ib_umem_release. */
struct ib_umem *labhca_odp_get(struct labhca *hca, u64 start, u64 length, int access)
{
	struct ib_umem_odp *odp;
	int ret;

	/* All of the address space in one region is what the device says that it does not have. */
	if (!start && length == U64_MAX)
		return ERR_PTR(-EOPNOTSUPP);
	odp = ib_umem_odp_get(&hca->ibdev, start, length, access, &labhca_odp_notifier);
	if (IS_ERR(odp))
		return ERR_CAST(odp);
	ret = labhca_odp_map_present(odp);
	if (!ret)
		return &odp->umem;
	ib_umem_odp_release(odp);
	return ERR_PTR(ret);
}

static u64 labhca_odp_offset(struct ib_umem_odp *odp)
{
	return odp->umem.address - ib_umem_start(odp);
}

void labhca_odp_describe(struct ib_umem *umem, struct labhca_odp_state *state)
{
	struct ib_umem_odp *odp = to_ib_umem_odp(umem);

	*state = (struct labhca_odp_state){ .route = "absent" };
	mutex_lock(&odp->umem_mutex);
	for (size_t index = 0; index < ib_umem_odp_num_pages(odp); index++)
		state->pages += labhca_page_is_present(odp, index);
	if (labhca_page_is_present(odp, 0) && !labhca_map_page(odp, 0, &state->first)) {
		state->first += labhca_odp_offset(odp);
		state->route = labhca_page_route(odp, 0);
	}
	mutex_unlock(&odp->umem_mutex);
}

/* Move a range inside one page between memory and the buffer at `at`. */
static int labhca_odp_move_in_page(struct labhca *hca, struct ib_umem_odp *odp, u64 place, u32 at,
				   u32 length, enum labhca_direction direction)
{
	u64 access = direction == LABHCA_DRAIN ? WRITE_PAGE : READ_PAGE;
	dma_addr_t address;
	int ret;

	ret = ib_umem_odp_map_dma_and_lock(odp, ib_umem_start(odp) + place, length, access, true);
	/* The process has no such page, or no longer: a key that opens nothing. */
	if (ret < 0)
		return -EACCES;
	if (labhca_map_page(odp, place >> odp->page_shift, &address)) {
		ret = -EACCES;
	} else {
		address += place & (BIT_ULL(odp->page_shift) - 1);
		mutex_lock(&hca->engine.lock);
		ret = labhca_engine_run(&hca->engine, direction, address, at, length);
		mutex_unlock(&hca->engine.lock);
	}
	mutex_unlock(&odp->umem_mutex);
	return ret;
}

/*
 * Move a range of a region between memory and the buffer at `at`. Needs to be called without the
 * lock `engine`, and with the region held.
 */
int labhca_odp_move(struct labhca *hca, struct labhca_region *region, u64 from, u32 at, u32 length,
		    enum labhca_direction direction)
{
	struct ib_umem_odp *odp = to_ib_umem_odp(region->umem);
	u64 page_size = BIT_ULL(odp->page_shift);
	u32 here;
	int ret;

	for (from += labhca_odp_offset(odp); length; from += here, at += here, length -= here) {
		here = min_t(u64, length, page_size - (from & (page_size - 1)));
		ret = labhca_odp_move_in_page(hca, odp, from, at, here, direction);
		if (ret)
			return ret;
		atomic64_inc(&hca->odp_pages);
	}
	return 0;
}
