// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA engine of QEMU's edu device.
 *
 * One command moves up to a page between the device's buffer and an address on the bus, and takes
 * 100 ms: the device is for teaching, and makes its drivers wait. So the interrupt is used.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/random.h>

#include "labhca.h"

/* docs/specs/edu in QEMU's documentation */
#define EDU_IDENTIFICATION	0x00
#define   EDU_IDENTIFICATION_IS	0x010000ed
#define EDU_IRQ_STATUS		0x24
#define   EDU_IRQ_DMA		0x100
#define EDU_IRQ_ACKNOWLEDGE	0x64
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_DESTINATION	0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define   EDU_DMA_RUN		BIT_ULL(0)
#define   EDU_DMA_TO_MEMORY	BIT_ULL(1)
#define   EDU_DMA_INTERRUPT	BIT_ULL(2)
#define EDU_DMA_BUFFER		0x40000

#define RUN_TIMEOUT		(5 * HZ)
#define TEST_LENGTH		64

#define EDU_ADDRESS_LINES	28
#define NOWHERE			BIT_ULL(40)	/* far above the memory of any guest */

static irqreturn_t labhca_interrupt(int irq, void *data)
{
	struct labhca_engine *engine = data;
	u32 status = readl(engine->registers + EDU_IRQ_STATUS);

	/* A device that is gone reads as all ones. */
	if (!(status & EDU_IRQ_DMA) || status == U32_MAX)
		return IRQ_NONE;
	writel(status, engine->registers + EDU_IRQ_ACKNOWLEDGE);
	complete(&engine->done);
	return IRQ_HANDLED;
}

int labhca_engine_start(struct labhca_engine *engine, struct pci_dev *pdev)
{
	int ret;

	engine->pdev = pdev;
	mutex_init(&engine->lock);
	init_completion(&engine->done);
	engine->registers = pcim_iomap(pdev, 0, 0);
	if (!engine->registers)
		return -ENOMEM;
	if (readl(engine->registers + EDU_IDENTIFICATION) != EDU_IDENTIFICATION_IS)
		return -ENODEV;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = pci_request_irq(pdev, 0, labhca_interrupt, NULL, engine, "labhca");
	if (ret)
		pci_free_irq_vectors(pdev);
	else
		pci_set_master(pdev);
	return ret;
}

/* From when this returns, the engine touches no memory. */
void labhca_engine_forbid(struct labhca_engine *engine)
{
	mutex_lock(&engine->lock);
	engine->gone = true;
	mutex_unlock(&engine->lock);
}

void labhca_engine_stop(struct labhca_engine *engine)
{
	labhca_engine_forbid(engine);
	pci_clear_master(engine->pdev);
	pci_free_irq(engine->pdev, 0, engine);
	pci_free_irq_vectors(engine->pdev);
}

/* Move `length` bytes between memory at `address` and the buffer at `at`. */
int labhca_engine_run(struct labhca_engine *engine, enum labhca_direction direction,
		      dma_addr_t address, u32 at, u32 length)
{
	u64 buffer = EDU_DMA_BUFFER + at;
	bool drain = direction == LABHCA_DRAIN;
	u64 command = EDU_DMA_RUN | EDU_DMA_INTERRUPT | (drain ? EDU_DMA_TO_MEMORY : 0);

	lockdep_assert_held(&engine->lock);
	/* QEMU ends the whole machine over a run beyond the buffer. */
	if (WARN_ON_ONCE(!length || at >= LABHCA_BUFFER || length > LABHCA_BUFFER - at))
		return -EINVAL;
	if (engine->gone)
		return -ENODEV;
	reinit_completion(&engine->done);
	writeq(drain ? buffer : address, engine->registers + EDU_DMA_SOURCE);
	writeq(drain ? address : buffer, engine->registers + EDU_DMA_DESTINATION);
	writeq(length, engine->registers + EDU_DMA_COUNT);
	writeq(command, engine->registers + EDU_DMA_COMMAND);
	if (!wait_for_completion_timeout(&engine->done, RUN_TIMEOUT) &&
	    readq(engine->registers + EDU_DMA_COMMAND) & EDU_DMA_RUN) {
		/* Unplugged, or stuck: whatever it would still do must not reach memory. */
		engine->gone = true;
		pci_clear_master(engine->pdev);
		dev_warn(&engine->pdev->dev, "the DMA engine does not answer\n");
		return -ENODEV;
	}
	atomic64_inc(&engine->runs);
	if (drain)
		atomic64_add(length, &engine->bytes);
	return 0;
}

/* Have the engine read from one address and write what it read to another. */
static int labhca_engine_copy(struct labhca_engine *engine, dma_addr_t from, dma_addr_t to)
{
	int ret;

	mutex_lock(&engine->lock);
	ret = labhca_engine_run(engine, LABHCA_FILL, from, 0, TEST_LENGTH);
	if (!ret)
		ret = labhca_engine_run(engine, LABHCA_DRAIN, to, 0, TEST_LENGTH);
	mutex_unlock(&engine->lock);
	return ret;
}

/* Whether the engine sees random bytes at `from`; `to` is where they get to. */
static int labhca_engine_sees(struct labhca_engine *engine, const void *bytes, dma_addr_t from,
			      void *copy, dma_addr_t to)
{
	struct device *dev = &engine->pdev->dev;
	int ret = labhca_engine_copy(engine, from, to);

	dma_sync_single_for_cpu(dev, to, TEST_LENGTH, DMA_FROM_DEVICE);
	return ret ? ret : !memcmp(bytes, copy, TEST_LENGTH);
}

/*
 * QEMU's edu has 28 address lines unless it is told otherwise, and quietly drops the bits above:
 * it would write to somebody else's memory. Try that out, by reading and into a page that is low
 * enough in any case, before it is let loose: where it should find nothing, it must not find what
 * is at the address without those bits; and where it should find something, it must.
 */
static int labhca_engine_try(struct labhca_engine *engine, const void *bytes, dma_addr_t from,
			     void *copy, dma_addr_t to)
{
	int ret = 0;

	/* An IOMMU that translates gives out high addresses, and this would be a fault for it. */
	if (from < BIT_ULL(EDU_ADDRESS_LINES))
		ret = labhca_engine_sees(engine, bytes, from | NOWHERE, copy, to);
	if (ret < 0)
		return ret;
	if (!ret)
		ret = labhca_engine_sees(engine, bytes, from, copy, to) == 1 ? 0 : -EIO;
	if (ret)
		dev_err(&engine->pdev->dev,
			"the DMA engine does not see all addresses: give QEMU's edu dma_mask=0xffffffffffffffff\n");
	return ret ? -EIO : 0;
}

int labhca_engine_test(struct labhca_engine *engine)
{
	struct device *dev = &engine->pdev->dev;
	void *bytes = (void *)__get_free_page(GFP_KERNEL);
	void *copy = (void *)get_zeroed_page(GFP_KERNEL | GFP_DMA);
	dma_addr_t from = DMA_MAPPING_ERROR, to = DMA_MAPPING_ERROR;
	int ret = -ENOMEM;

	if (bytes && copy) {
		get_random_bytes(bytes, TEST_LENGTH);
		from = dma_map_single(dev, bytes, PAGE_SIZE, DMA_TO_DEVICE);
		to = dma_map_single(dev, copy, PAGE_SIZE, DMA_FROM_DEVICE);
	}
	if (!dma_mapping_error(dev, from) && !dma_mapping_error(dev, to))
		ret = labhca_engine_try(engine, bytes, from, copy, to);
	if (!dma_mapping_error(dev, from))
		dma_unmap_single(dev, from, PAGE_SIZE, DMA_TO_DEVICE);
	if (!dma_mapping_error(dev, to))
		dma_unmap_single(dev, to, PAGE_SIZE, DMA_FROM_DEVICE);
	free_page((unsigned long)bytes);
	free_page((unsigned long)copy);
	return ret;
}
