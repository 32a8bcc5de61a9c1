/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that the running libibverbs, or libmlx5, may have and the headers that this is built with may not: looked up by
 * name and version at run time. The structs are those of their man pages (ibv_alloc_dmah(3), ibv_reg_mr_ex(3),
 * ibv_dm_export_dmabuf_fd(3)), declared here under names of our own.
 */
#ifndef PEERMR_RUNTIME_SHIM_H
#define PEERMR_RUNTIME_SHIM_H

#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

/* <dlfcn.h> hides it behind _GNU_SOURCE. A null handle is RTLD_DEFAULT: what is loaded, in order. */
extern void *dlvsym(void *handle, const char *name, const char *version);

struct peermr_dmah_init_attr {
    uint32_t comp_mask;
    uint32_t cpu_id;
    uint8_t ph;
    uint8_t tph_mem_type;
};

enum {
    PEERMR_DMAH_CPU_ID = 1 << 0,
    PEERMR_DMAH_PH = 1 << 1,
    PEERMR_DMAH_TPH_MEM_TYPE = 1 << 2,
};

struct peermr_mr_init_attr {
    size_t length;
    int access;
    uint64_t comp_mask;
    uint64_t iova;
    void *addr;
    int fd;
    uint64_t fd_offset;
    void *dmah;
    void *buf;
};

enum {
    PEERMR_MR_IOVA = 1 << 0,
    PEERMR_MR_ADDR = 1 << 1,
    PEERMR_MR_FD = 1 << 2,
    PEERMR_MR_FD_OFFSET = 1 << 3,
    PEERMR_MR_DMAH = 1 << 4,
};

/* Whether libibverbs has DMA handles and the registration that takes them: rdma-core 59. */
static inline int peermr_has_dma_handles(void)
{
    return dlvsym(NULL, "ibv_alloc_dmah", "IBVERBS_1.15") && dlvsym(NULL, "ibv_dealloc_dmah", "IBVERBS_1.15")
        && dlvsym(NULL, "ibv_reg_mr_ex", "IBVERBS_1.15");
}

/* A handle, or NULL with errno; ENOSYS where libibverbs lacks the call. */
static inline void *peermr_alloc_dmah(struct ibv_context *context, struct peermr_dmah_init_attr *attributes)
{
    void *(*call)(struct ibv_context *, struct peermr_dmah_init_attr *) =
        (void *(*)(struct ibv_context *, struct peermr_dmah_init_attr *))
            dlvsym(NULL, "ibv_alloc_dmah", "IBVERBS_1.15");
    if (call)
        return call(context, attributes);
    errno = ENOSYS;
    return NULL;
}

static inline int peermr_dealloc_dmah(void *handle)
{
    int (*call)(void *) = (int (*)(void *))dlvsym(NULL, "ibv_dealloc_dmah", "IBVERBS_1.15");
    return call ? call(handle) : ENOSYS;
}

/* A region, or NULL with errno; ENOSYS where libibverbs lacks the call. */
static inline struct ibv_mr *peermr_reg_mr_ex(struct ibv_pd *pd, struct peermr_mr_init_attr *attributes)
{
    struct ibv_mr *(*call)(struct ibv_pd *, struct peermr_mr_init_attr *) =
        (struct ibv_mr *(*)(struct ibv_pd *, struct peermr_mr_init_attr *))
            dlvsym(NULL, "ibv_reg_mr_ex", "IBVERBS_1.15");
    if (call)
        return call(pd, attributes);
    errno = ENOSYS;
    return NULL;
}

/* A descriptor, or -1 with errno; ENOSYS where libibverbs lacks the call: it came with rdma-core 62. */
static inline int peermr_dm_export_dmabuf_fd(struct ibv_dm *memory)
{
    int (*call)(struct ibv_dm *) =
        (int (*)(struct ibv_dm *))dlvsym(NULL, "ibv_dm_export_dmabuf_fd", "IBVERBS_1.16");
    if (call)
        return call(memory);
    errno = ENOSYS;
    return -1;
}

/*
 * mlx5's own calls (mlx5dv_get_data_direct_sysfs_path(3), mlx5dv_reg_dmabuf_mr(3)), from rdma-core 54 on. libibverbs
 * has loaded the library where there is such a device; nothing is loaded here.
 */
static inline void *peermr_mlx5_call(const char *name)
{
    void *library = dlopen("libmlx5.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    /* Without it: what the program itself is linked with, if anything. */
    void *call = dlvsym(library, name, "MLX5_1.25");
    if (library)
        dlclose(library);
    return call;
}

/* Where sysfs has the data-direct function of a device, without "/sys"; 0, or an errno: ENODEV for none, ENOSYS without
 * the call. */
static inline int peermr_data_direct_path(struct ibv_context *context, char *path, size_t bytes)
{
    int (*call)(struct ibv_context *, char *, size_t) =
        (int (*)(struct ibv_context *, char *, size_t))peermr_mlx5_call("mlx5dv_get_data_direct_sysfs_path");
    return call ? call(context, path, bytes) : ENOSYS;
}

enum {
    PEERMR_MLX5_DATA_DIRECT = 1 << 0,
};

/* A region, or NULL with errno; ENOSYS without the call. */
static inline struct ibv_mr *peermr_reg_data_direct_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
                                                       int fd, int access)
{
    struct ibv_mr *(*call)(struct ibv_pd *, uint64_t, size_t, uint64_t, int, int, int) =
        (struct ibv_mr *(*)(struct ibv_pd *, uint64_t, size_t, uint64_t, int, int, int))peermr_mlx5_call(
            "mlx5dv_reg_dmabuf_mr");
    if (call)
        return call(pd, offset, length, iova, fd, access, PEERMR_MLX5_DATA_DIRECT);
    errno = ENOSYS;
    return NULL;
}

#endif
