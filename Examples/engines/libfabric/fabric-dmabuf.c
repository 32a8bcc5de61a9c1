/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers a dma-buf with libfabric by its descriptor (FI_MR_DMABUF), which needs no preload library:
 *
 *   fabric-dmabuf DOMAIN MEMORY       DOMAIN: an RDMA device as libfabric calls it, such as mlx5_0
 *                                     MEMORY: "udmabuf" (the host's), or PCI_ADDRESS:REGION of a function at vfio-pci
 *
 * It prints the region's key, holds it for SECONDS (0 where not set), and lets go of it.
 */
#include <linux/udmabuf.h>
#include <linux/vfio.h>
#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_errno.h>
#include <sys/ioctl.h>

#include "../common.h"

enum { DMABUF_FEATURE = 11, LENGTH = 65536 };

/* As VFIO_DEVICE_FEATURE_DMA_BUF of Linux 6.19 describes it, for headers that are older. */
struct export {
    uint32_t argsz, flags, region, open_flags, export_flags, ranges;
    uint64_t offset, length;
};

static void must(int status, const char *call)
{
    if (status < 0)
        stop("%s: %s", call, fi_strerror(-status));
}

static int checked(int descriptor, const char *doing)
{
    if (descriptor < 0)
        stop("%s: %s", doing, strerror(errno));
    return descriptor;
}

/* Memory of the host behind a dma-buf. */
static int from_udmabuf(void)
{
    int file = checked(memfd_create("fabric-dmabuf", MFD_ALLOW_SEALING), "memfd_create");
    struct udmabuf_create create = {.memfd = file, .flags = UDMABUF_FLAGS_CLOEXEC, .size = LENGTH};
    checked(ftruncate(file, LENGTH), "ftruncate");
    checked(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK), "F_ADD_SEALS");
    int device = checked(open("/dev/udmabuf", O_RDWR), "/dev/udmabuf");
    return checked(ioctl(device, UDMABUF_CREATE, &create), "UDMABUF_CREATE");
}

/* A BAR of a function that is bound to vfio-pci; the device stays open, because closing it revokes the memory. */
static int from_vfio(const char *address, unsigned region)
{
    char path[128], target[128];
    struct export export = {
        .argsz = sizeof(export), .flags = VFIO_DEVICE_FEATURE_GET | DMABUF_FEATURE, .region = region,
        .open_flags = O_RDWR | O_CLOEXEC, .ranges = 1, .length = LENGTH};
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    checked((int)length, path);
    target[length] = 0;
    snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
    int container = checked(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio");
    int group = checked(open(path, O_RDWR), path);
    checked(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
    checked(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
    int device = checked(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address), "VFIO_GROUP_GET_DEVICE_FD");
    return checked(ioctl(device, VFIO_DEVICE_FEATURE, &export), "VFIO_DEVICE_FEATURE_DMA_BUF");
}

static int dmabuf_of(const char *memory)
{
    char address[16];
    unsigned region;
    int end = 0;
    if (strcmp(memory, "udmabuf") == 0)
        return from_udmabuf();
    if (sscanf(memory, "%12[0-9a-f:.]:%u%n", address, &region, &end) != 2 || memory[end])
        stop("\"%s\" is no memory: write udmabuf, or PCI_ADDRESS:REGION of a function at vfio-pci.", memory);
    return from_vfio(address, region);
}

static struct fid_domain *opened(const char *name)
{
    struct fi_info *hints = fi_allocinfo(), *info;
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    hints->fabric_attr->prov_name = strdup("verbs");
    hints->domain_attr->name = strdup(name);
    hints->ep_attr->type = FI_EP_MSG;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_HMEM;
    int status = fi_getinfo(FI_VERSION(1, 20), NULL, NULL, 0, hints, &info);
    if (status)
        stop("fi_getinfo: %s; the verbs provider has no domain %s: fi_info -p verbs lists them.", fi_strerror(-status),
             name);
    must(fi_fabric(info->fabric_attr, &fabric, NULL), "fi_fabric");
    must(fi_domain(fabric, info, &domain, NULL), "fi_domain");
    return domain;
}

int main(int count, char **words)
{
    struct fid_mr *region;
    if (count != 3)
        stop("usage: %s DOMAIN MEMORY; see the head of fabric-dmabuf.c.", words[0]);
    struct fi_mr_dmabuf buffer = {.fd = dmabuf_of(words[2]), .len = LENGTH};
    struct fi_mr_attr attributes = {
        .dmabuf = &buffer, .iov_count = 1, .iface = FI_HMEM_SYSTEM,
        .access = FI_SEND | FI_RECV | FI_REMOTE_READ | FI_REMOTE_WRITE};
    must(fi_mr_regattr(opened(words[1]), &attributes, FI_MR_DMABUF, &region), "fi_mr_regattr");
    printf("registered %d bytes of %s with %s, key 0x%llx\n", LENGTH, words[2], words[1],
           (unsigned long long)fi_mr_key(region));
    fflush(stdout);
    sleep(getenv("SECONDS") ? atoi(getenv("SECONDS")) : 0);
    must(fi_close(&region->fid), "fi_close");
    return 0;
}
