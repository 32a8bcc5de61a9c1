/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of all kinds, as a processor's mapping and as a dma-buf. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tool.h"

#define MOST_MEMORIES 16
#define PLAIN_MEMORY_BAR 2	/* of QEMU's ivshmem-plain */

static struct memory memories[MOST_MEMORIES];

struct memory *find_memory(const char *name)
{
	for (int i = 0; i < MOST_MEMORIES && memories[i].name; i++) {
		if (strcmp(memories[i].name, name) == 0)
			return &memories[i];
	}
	fprintf(stderr, "there is no memory %s\n", name);
	exit(2);
}

static void add(const char *kind, const char *name, void *bytes, size_t size, int dmabuf, int vfio)
{
	char what[100];

	snprintf(what, sizeof(what), "%s %s", kind, name);
	if (bytes == MAP_FAILED || (vfio >= 0 && dmabuf < 0)) {
		say_errno(what, errno);
		exit(1);
	}
	for (int i = 0; i < MOST_MEMORIES; i++) {
		if (memories[i].name)
			continue;
		memories[i] = (struct memory){ .name = name, .bytes = bytes, .size = size,
					       .dmabuf = dmabuf, .vfio = vfio };
		say_errno(what, 0);
		return;
	}
	exit(2);
}

static void *map(int fd, size_t size, off_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

void make_host(char **words)
{
	size_t size = number(words[1]);
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	add("host", words[0], bytes, size, -1, -1);
}

void make_udmabuf(char **words)
{
	size_t size = number(words[1]);
	int file = memfd_create("udmabuf", MFD_ALLOW_SEALING);
	int device = open("/dev/udmabuf", O_RDWR);
	struct udmabuf_create create = { .memfd = file, .flags = UDMABUF_FLAGS_CLOEXEC,
					 .size = size };

	if (ftruncate(file, size) || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK))
		exit(1);
	add("udmabuf", words[0], map(file, size, 0), size, ioctl(device, UDMABUF_CREATE, &create),
	    -1);
	close(device);
	close(file);
}

void make_heap(char **words)
{
	int device = open("/dev/dma_heap/system", O_RDWR);
	struct dma_heap_allocation_data data = { .len = number(words[1]),
						 .fd_flags = O_RDWR | O_CLOEXEC };

	if (ioctl(device, DMA_HEAP_IOCTL_ALLOC, &data)) {
		say_errno("heap", errno);
		exit(1);
	}
	close(device);
	add("heap", words[0], map(data.fd, data.len, 0), data.len, data.fd, -1);
}

/* p2pmem NAME FUNCTION SIZE: memory of a drive's controller memory buffer */
void make_p2pmem(char **words)
{
	size_t size = number(words[2]);
	char path[100];
	void *bytes;
	int pool;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate", words[1]);
	pool = open(path, O_RDWR | O_CLOEXEC);
	bytes = map(pool, size, 0);
	add("p2pmem", words[0], bytes, size, -1, -1);
	close(pool);
}

/* alias NAME OF OFFSET LENGTH: a part of the memory OF under a name and with a region of its own */
void make_alias(char **words)
{
	struct memory *whole = find_memory(words[1]);

	add("alias", words[0], whole->bytes + number(words[2]), number(words[3]), -1, -1);
}

/* discard NAME: throw away the pages that are mapped, and leave the mapping */
void discard(char **words)
{
	struct memory *memory = find_memory(words[0]);

	say_errno("discard", madvise(memory->bytes, memory->size, MADV_DONTNEED) ? errno : 0);
}

/* unmap NAME */
void unmap(char **words)
{
	struct memory *memory = find_memory(words[0]);

	say_errno("unmap", munmap(memory->bytes, memory->size) ? errno : 0);
}

/* Open a function that is bound to vfio-pci by way of its group; its container stays open. */
static int open_function(const char *bdf)
{
	char path[100], target[100];
	int container = open("/dev/vfio/vfio", O_RDWR), group;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
	group = open(path, O_RDWR);
	if (group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
}

void make_vfio(char **words)
{
	size_t size = number(words[2]);
	int device = open_function(words[1]);
	struct vfio_region_info info = { .argsz = sizeof(info), .index = PLAIN_MEMORY_BAR };
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_buf buffer;
		struct vfio_region_dma_range range;
	} export = {
		.feature = { .argsz = sizeof(export),
			     .flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF },
		.buffer = { .region_index = PLAIN_MEMORY_BAR, .open_flags = O_RDWR | O_CLOEXEC,
			    .nr_ranges = 1 },
		.range = { .offset = 0, .length = size },
	};

	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info)) {
		say_errno("vfio", errno);
		exit(1);
	}
	add("vfio", words[0], map(device, size, info.offset), size,
	    ioctl(device, VFIO_DEVICE_FEATURE, &export), device);
}

void reset_vfio(char **words)
{
	say_errno("reset", ioctl(find_memory(words[0])->vfio, VFIO_DEVICE_RESET) ? errno : 0);
}

/* The mapping goes too: with it the device would stay open. */
void close_vfio(char **words)
{
	struct memory *memory = find_memory(words[0]);

	munmap(memory->bytes, memory->size);
	memory->bytes = NULL;
	say_errno("close", close(memory->vfio) ? errno : 0);
}

void close_buffer(char **words)
{
	say_errno("close-buffer", close(find_memory(words[0])->dmabuf) ? errno : 0);
}

/* Bytes that depend on the seed and the place, so that shifted ones differ. */
static unsigned char expected(unsigned int seed, size_t place)
{
	uint64_t mixed = (place + 1 + seed * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;

	return mixed >> 32 | 1;
}

/* fill NAME SEED; seed 0 is zero bytes. Device memory gets single bytes, as it wants them. */
void fill(char **words)
{
	struct memory *memory = find_memory(words[0]);
	volatile unsigned char *bytes = memory->bytes;
	unsigned int seed = number(words[1]);

	for (size_t i = 0; i < memory->size; i++)
		bytes[i] = seed ? expected(seed, i) : 0;
}

/* check NAME SEED OFFSET LENGTH [FROM]: what was filled in at FROM is at OFFSET. */
void check(char **words)
{
	struct memory *memory = find_memory(words[0]);
	volatile unsigned char *bytes = memory->bytes;
	unsigned int seed = number(words[1]);
	size_t offset = number(words[2]), length = number(words[3]), different = 0;
	size_t from = words[4] ? number(words[4]) : offset;

	for (size_t i = 0; i < length; i++)
		different += bytes[offset + i] != (seed ? expected(seed, from + i) : 0);
	if (different)
		printf("check %s %zu of %zu differ\n", words[0], different, length);
	else
		printf("check %s same\n", words[0]);
}
