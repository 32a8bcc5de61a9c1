/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dma-bufs, a NIC's own memory, and the calls of newer libraries. A descriptor that a test declares one is a dma-buf
 * here, whatever it is, and the size of the file is the buffer's.
 */
#define _GNU_SOURCE
#include "fake_state.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What the real library leaves in mr->addr of a dma-buf's region is no address; whoever uses it is to notice. */
#define POISON ((void *)(uintptr_t)0xdead4ead0000dead)

int fake_verbs_memory_file(void)
{
    return memfd_create("test-buffer", MFD_CLOEXEC);
}

void fake_verbs_declare_buffer(int fd)
{
    if (fake->buffer_count < FAKE_QUEUE)
        fake->buffers[fake->buffer_count++] = fd;
}

void fake_verbs_declare_files(void)
{
    fake->all_are_buffers = true;
}

static bool is_buffer(int fd)
{
    for (unsigned i = 0; fake && i < fake->buffer_count; i++)
        if (fake->buffers[i] == fd)
            return true;
    return false;
}

/* A duplicate of a declared one is one, too: the file decides. */
static bool is_same_file(int fd)
{
    struct stat one, other;
    if (fake && fake->all_are_buffers && fstat(fd, &one) == 0 && S_ISREG(one.st_mode))
        return true;
    for (unsigned i = 0; fake && i < fake->buffer_count; i++)
        if (fstat(fd, &one) == 0 && fstat(fake->buffers[i], &other) == 0 && one.st_ino == other.st_ino
            && one.st_dev == other.st_dev)
            return true;
    return false;
}

int fstatfs(int fd, struct statfs *status)
{
    int result = (int)syscall(SYS_fstatfs, fd, status);
    if (result == 0 && (is_buffer(fd) || is_same_file(fd)))
        status->f_type = DMA_BUF_MAGIC;
    return result;
}

/* The bracket around the CPU's access to a buffer, which a file does not know: written down, and made to fail. */
static int bracket(const struct dma_buf_sync *sync)
{
    const char *what = sync->flags & DMA_BUF_SYNC_END ? "end" : "start";
    const char *access = sync->flags & DMA_BUF_SYNC_WRITE ? "write" : "read";
    char call[64];
    snprintf(call, sizeof(call), "DMA_BUF_IOCTL_SYNC %s %s", what, access);
    return fake_step(call);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == DMA_BUF_IOCTL_SYNC && fake && (is_buffer(fd) || is_same_file(fd)))
        return bracket(argument);
    return fake_mapping((int)syscall(SYS_ioctl, fd, request, argument), request, argument);
}

/* Both keys of a region have one place, and other regions the places behind it. */
static struct fake_mapping *place_of(uint32_t key)
{
    return &fake->mappings[key / 2 % FAKE_BUCKETS];
}

struct ibv_mr *fake_register(struct ibv_pd *pd, const char *call, void *seen, size_t bytes, uint64_t iova,
                             uint8_t *behind, size_t mapped)
{
    struct ibv_mr *region = fake_make_or_fail(FAKE_REGION, sizeof(*region), call, pd);
    if (!region)
        return NULL;
    region->context = pd->context;
    region->pd = pd;
    region->addr = seen;
    region->length = bytes;
    region->lkey = fake->next_key++;
    region->rkey = fake->next_key++;
    struct fake_mapping *mapping = place_of(region->lkey);
    if (!mapping->local_key) {
        *mapping = (struct fake_mapping){
            .local_key = region->lkey, .remote_key = region->rkey, .iova = iova, .bytes = bytes,
            .behind = behind, .mapped = mapped,
        };
        if (fake->stamps && behind && bytes >= sizeof(mapping->stamp))
            memcpy(&mapping->stamp, behind, sizeof(mapping->stamp));
    }
    return region;
}

struct fake_mapping *fake_mapping_of(uint32_t key)
{
    struct fake_mapping *mapping = place_of(key);
    return mapping->local_key && (mapping->local_key == key || mapping->remote_key == key) ? mapping : NULL;
}

void fake_forget(struct ibv_mr *region)
{
    struct fake_mapping *mapping = fake_mapping_of(region->lkey);
    if (!mapping)
        return;
    if (mapping->mapped)
        munmap(mapping->behind, mapping->mapped);
    memset(mapping, 0, sizeof(*mapping));
}

struct fake_coverage fake_verbs_coverage(uint32_t key)
{
    struct fake_coverage coverage = {0};
    fake_lock();
    struct fake_mapping *mapping = fake_mapping_of(key);
    if (mapping)
        coverage = (struct fake_coverage){
            .is_live = 1, .iova = mapping->iova, .byte_count = mapping->bytes,
            .address = mapping->inode ? 0 : (uintptr_t)mapping->behind, .device = mapping->device,
            .inode = mapping->inode, .offset = mapping->offset, .access = mapping->access,
            .stamp = mapping->stamp,
        };
    /* A region on demand is over what is mapped there by now. */
    if (mapping && fake->stamps && !mapping->inode && mapping->access & IBV_ACCESS_ON_DEMAND)
        memcpy(&coverage.stamp, mapping->behind, sizeof(coverage.stamp));
    fake_unlock();
    return coverage;
}

bool fake_is_buffer_region(const struct ibv_mr *region)
{
    return region->addr == POISON;
}

static struct ibv_mr *over_buffer(struct ibv_pd *pd, const char *call, uint64_t offset, size_t bytes, uint64_t iova,
                                  int fd, int access, void *handle)
{
    if (fd < 0) {
        fake->buffer_probes++;
        errno = fake->buffer_probe_error;
        return NULL;
    }
    fake->buffer = (struct fake_buffer_call){
        .offset = offset, .byte_count = bytes, .iova = iova, .fd = fd, .access = (uint32_t)access,
        .has_handle = handle != NULL,
    };
    struct stat status;
    if (fstat(fd, &status) != 0)
        return NULL;
    if (offset + bytes > (uint64_t)status.st_size || (offset & 4095) != (iova & 4095)) {
        fake_complain("%s: a part that the kernel would refuse", call);
        errno = EINVAL;
        return NULL;
    }
    uint8_t *behind = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    bool is_mapped = behind != MAP_FAILED;
    struct ibv_mr *region =
        fake_register(pd, call, POISON, bytes, iova, is_mapped ? behind : NULL, is_mapped ? bytes : 0);
    if (!region && is_mapped)
        munmap(behind, bytes);
    struct fake_mapping *mapping = region ? fake_mapping_of(region->lkey) : NULL;
    if (mapping) {
        mapping->access = (uint32_t)access;
        mapping->device = status.st_dev;
        mapping->inode = status.st_ino;
        mapping->offset = offset;
    }
    return region;
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t bytes, uint64_t iova, int fd, int access)
{
    struct fake_state *before = fake_enter(pd->context);
    fake_lock();
    struct ibv_mr *made = over_buffer(pd, "ibv_reg_dmabuf_mr", offset, bytes, iova, fd, access, NULL);
    fake_unlock();
    fake_leave(before);
    return made;
}

void fake_verbs_set_stamping(int on)
{
    fake->stamps = on != 0;
}

void fake_verbs_set_buffer_probe(int error)
{
    fake->buffer_probe_error = error;
}

unsigned fake_verbs_buffer_probes(void)
{
    return fake->buffer_probes;
}

struct fake_buffer_call fake_verbs_last_buffer(void)
{
    return fake->buffer;
}

/* What newer libraries have, found by dlvsym only. */

static void *alloc_dmah(struct ibv_context *context, struct peermr_fake_dmah *attributes)
{
    fake->hints = *attributes;
    return fake_make_or_fail(FAKE_DMA_HANDLE, 16, "ibv_alloc_dmah", fake_context_object(context));
}

static int dealloc_dmah(void *handle)
{
    return fake_destroy(handle, FAKE_DMA_HANDLE, "ibv_dealloc_dmah");
}

static struct ibv_mr *reg_mr_ex(struct ibv_pd *pd, struct peermr_fake_mr_attributes *attributes)
{
    if (attributes->comp_mask & 1 << 4 && !fake_check(attributes->dmah, FAKE_DMA_HANDLE, "ibv_reg_mr_ex"))
        return NULL;
    if (attributes->comp_mask & 1 << 2)
        return over_buffer(pd, "ibv_reg_mr_ex", attributes->fd_offset, attributes->length, attributes->iova,
                           attributes->fd, attributes->access, attributes->dmah);
    fake->registered_address = (uintptr_t)attributes->addr;
    fake->registered_bytes = attributes->length;
    fake->registered_access = (uint32_t)attributes->access;
    return fake_register(pd, "ibv_reg_mr_ex", attributes->addr, attributes->length,
                         (uintptr_t)attributes->addr, attributes->addr, 0);
}

static int dm_export(struct ibv_dm *memory)
{
    (void)memory;
    int error = fake_failure("ibv_dm_export_dmabuf_fd");
    if (error) {
        errno = error;
        return -1;
    }
    int fd = memfd_create("fake-dm", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, 65536) != 0)
        fake_complain("no file for the memory of a NIC");
    return fd;
}

/* libmlx5, which is looked up by its own name. */

static int data_direct_path(struct ibv_context *context, char *path, size_t bytes)
{
    fake_context_object(context);
    if (fake->data_direct_error)
        return fake->data_direct_error;
    if (strlen(fake->data_direct_path) >= bytes)
        return ENOSPC;
    strcpy(path, fake->data_direct_path);
    return 0;
}

static struct ibv_mr *reg_data_direct(struct ibv_pd *pd, uint64_t offset, size_t bytes, uint64_t iova, int fd, int access,
                                      int mlx5_access)
{
    if (mlx5_access != 1 || iova & 4095)
        fake_complain("mlx5dv_reg_dmabuf_mr: what the kernel would refuse");
    fake_lock();
    struct ibv_mr *made = over_buffer(pd, "mlx5dv_reg_dmabuf_mr", offset, bytes, iova, fd, access, NULL);
    fake_unlock();
    return made;
}

void fake_verbs_set_data_direct(const char *path, int error)
{
    snprintf(fake->data_direct_path, sizeof(fake->data_direct_path), "%s", path);
    fake->data_direct_error = error;
    fake->has_data_direct = true;
}

void fake_verbs_set_new_library(int has)
{
    fake->has_new_calls = has != 0;
}

struct peermr_fake_dmah fake_verbs_hints(void)
{
    return fake->hints;
}

#ifndef FAKE_SANITIZED
FAKE_EARLY void *dlvsym(void *restrict handle, const char *restrict name, const char *restrict version)
{
    static const struct {
        const char *name, *version;
        void *call;
    } calls[] = {
        {"ibv_alloc_dmah", "IBVERBS_1.15", (void *)alloc_dmah},
        {"ibv_dealloc_dmah", "IBVERBS_1.15", (void *)dealloc_dmah},
        {"ibv_reg_mr_ex", "IBVERBS_1.15", (void *)reg_mr_ex},
        {"ibv_dm_export_dmabuf_fd", "IBVERBS_1.16", (void *)dm_export},
    };
    for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        if (strcmp(name, calls[i].name) == 0 && strcmp(version, calls[i].version) == 0)
            return fake && fake->has_new_calls ? calls[i].call : NULL;
    if (fake && fake->has_data_direct && strcmp(version, "MLX5_1.25") == 0) {
        if (strcmp(name, "mlx5dv_get_data_direct_sysfs_path") == 0)
            return (void *)data_direct_path;
        if (strcmp(name, "mlx5dv_reg_dmabuf_mr") == 0)
            return (void *)reg_data_direct;
    }
    return dlsym(handle, name);
}
#endif

/* A NIC's own memory, which verbs.h calls through the context. */

struct fake_dm {
    struct ibv_dm dm;
    uint8_t bytes[65536];
};

static int dm_in(struct ibv_dm *memory, uint64_t offset, const void *from, size_t bytes)
{
    memcpy(((struct fake_dm *)memory)->bytes + offset, from, bytes);
    return fake_failure("ibv_memcpy_to_dm");
}

static int dm_out(void *to, struct ibv_dm *memory, uint64_t offset, size_t bytes)
{
    memcpy(to, ((struct fake_dm *)memory)->bytes + offset, bytes);
    return fake_failure("ibv_memcpy_from_dm");
}

static struct ibv_dm *alloc_dm(struct ibv_context *context, struct ibv_alloc_dm_attr *attributes)
{
    if (attributes->length > sizeof(((struct fake_dm *)0)->bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    struct fake_dm *made =
        fake_make_or_fail(FAKE_DEVICE_MEMORY, sizeof(*made), "ibv_alloc_dm", fake_context_object(context));
    if (!made)
        return NULL;
    made->dm.context = context;
    made->dm.memcpy_to_dm = dm_in;
    made->dm.memcpy_from_dm = dm_out;
    return &made->dm;
}

static int free_dm(struct ibv_dm *memory)
{
    return fake_destroy(memory, FAKE_DEVICE_MEMORY, "ibv_free_dm");
}

static struct ibv_mr *reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *memory, uint64_t offset, size_t bytes,
                                unsigned access)
{
    if (!fake_check(memory, FAKE_DEVICE_MEMORY, "ibv_reg_dm_mr"))
        return NULL;
    if (!(access & IBV_ACCESS_ZERO_BASED))
        fake_complain("ibv_reg_dm_mr: memory of a NIC has no address to begin at");
    fake->registered_access = access;
    return fake_register(pd, "ibv_reg_dm_mr", POISON, bytes, 0, ((struct fake_dm *)memory)->bytes + offset, 0);
}

void fake_fill_device_memory(struct verbs_context *context)
{
    context->alloc_dm = alloc_dm;
    context->free_dm = free_dm;
    context->reg_dm_mr = reg_dm_mr;
}
