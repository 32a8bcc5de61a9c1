/* SPDX-License-Identifier: Apache-2.0 */
#include "vfio_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* include/uapi/linux/vfio.h of Linux 6.19; older headers lack it. */
enum { FEATURE_DMA_BUF = 11 };

struct feature_dma_buf {
    uint32_t argsz;
    uint32_t feature_flags;
    uint32_t region_index;
    uint32_t open_flags;
    uint32_t flags;
    uint32_t range_count;
    struct peermr_vfio_range ranges[];
};

_Static_assert(sizeof(struct feature_dma_buf) == 24, "the kernel's layout has no padding");
_Static_assert(sizeof(struct vfio_device_feature) == 8, "its header comes first");

int peermr_vfio_container_fits(int container)
{
    return ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION
           && ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0;
}

int peermr_vfio_group_flags(int group, uint32_t *flags)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};
    if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) != 0)
        return -1;
    *flags = status.flags;
    return 0;
}

int peermr_vfio_join(int group, int container)
{
    return ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
}

int peermr_vfio_set_iommu(int container)
{
    return ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

int peermr_vfio_open_device(int group, const char *address)
{
    int fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
    /* The kernel opens it close-on-exec since 2013; this costs nothing. */
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int peermr_vfio_device_flags(int device, uint32_t *flags)
{
    struct vfio_device_info info = {.argsz = sizeof(info)};
    if (ioctl(device, VFIO_DEVICE_GET_INFO, &info) != 0)
        return -1;
    *flags = info.flags;
    return 0;
}

int peermr_vfio_region(int device, uint32_t index, uint64_t *bytes, uint64_t *file_offset, uint32_t *flags)
{
    struct vfio_region_info info = {.argsz = sizeof(info), .index = index};
    if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
        return -1;
    *bytes = info.size;
    *file_offset = info.offset;
    *flags = info.flags;
    return 0;
}

int peermr_vfio_reset(int device)
{
    return ioctl(device, VFIO_DEVICE_RESET);
}

int peermr_vfio_probe_export(int device)
{
    struct vfio_device_feature feature = {
        .argsz = sizeof(feature),
        .flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF,
    };
    return ioctl(device, VFIO_DEVICE_FEATURE, &feature);
}

int peermr_vfio_export(int device, uint32_t region, int writable, const struct peermr_vfio_range *ranges,
                       uint32_t count)
{
    size_t bytes = sizeof(struct feature_dma_buf) + count * sizeof(*ranges);
    struct feature_dma_buf *request = calloc(1, bytes);
    if (!request)
        return -1;
    request->argsz = (uint32_t)bytes;
    request->feature_flags = VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF;
    request->region_index = region;
    request->open_flags = (uint32_t)((writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    request->range_count = count;
    memcpy(request->ranges, ranges, count * sizeof(*ranges));
    int fd = ioctl(device, VFIO_DEVICE_FEATURE, request);
    int error = errno;
    free(request);
    errno = error;
    return fd;
}
