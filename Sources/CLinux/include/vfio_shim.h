/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio-pci: request codes that are macros, and the dma-buf feature, which <linux/vfio.h> declares since Linux 6.19.
 * Each returns 0 or a descriptor, or -1 with errno, unless it says otherwise.
 */
#ifndef PEERMR_VFIO_SHIM_H
#define PEERMR_VFIO_SHIM_H

#include <stdint.h>

/* Whether a container is of the API that this is written for, with the type 1 IOMMU: 1 or 0. */
int peermr_vfio_container_fits(int container);

/* The group's flags: bit 0 viable, bit 1 in a container. */
int peermr_vfio_group_flags(int group, uint32_t *flags);

int peermr_vfio_join(int group, int container);
int peermr_vfio_set_iommu(int container);

/* A function of the group, by its address as the kernel writes it. */
int peermr_vfio_open_device(int group, const char *address);

/* Flags of the device: bit 0 it can be reset, bit 1 it is a PCI function. */
int peermr_vfio_device_flags(int device, uint32_t *flags);

/* A region: its size, where it stands in the device's file, and flags: 1 readable, 2 writable, 4 can be mapped. */
int peermr_vfio_region(int device, uint32_t index, uint64_t *bytes, uint64_t *file_offset, uint32_t *flags);

int peermr_vfio_reset(int device);

/* One part of a region. */
struct peermr_vfio_range {
    uint64_t offset;
    uint64_t length;
};

/* Asks whether the kernel exports regions of the device as dma-bufs. */
int peermr_vfio_probe_export(int device);

/* The descriptor of a dma-buf over parts of a region, one after the other. */
int peermr_vfio_export(int device, uint32_t region, int writable, const struct peermr_vfio_range *ranges,
                       uint32_t count);

#endif
