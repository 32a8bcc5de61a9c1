/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application as there are many: it maps memory, registers it with ibv_reg_mr, moves bytes through it with a queue
 * pair that is connected to itself, and deregisters. It knows nothing of PeerMR.
 *
 *   plain_program DEVICE MEMORY [OFFSET [LENGTH [calls|descriptor]]]
 *
 * MEMORY: host, p2pmem=FILE, unbound=FILE (p2pmem whose device then loses its driver), rebound=FILE (and gets it back),
 * bar=FILE, udmabuf, udmabuf-closed (its descriptor), udmabuf-reading (mapped so), heap,
 * heap-private, nothing, mixed=FILE (p2pmem, then host); of functions that are bound to vfio-pci, by their addresses,
 * vfio=BDF (BAR 2), vfio-closed=BDF (the descriptor is), vfio-half=BDF (the second half is unmapped), vfio-pieces=BDF
 * (two mappings), vfio-reading=BDF, vfio-two=BDF,BDF (the first is mapped, both are open) and vfio-other=BDF,BDF (so,
 * and the first is closed). OFFSET and LENGTH say which part of 256 KiB is registered; "calls" has the library named
 * whose ibv_post_send it was, "descriptor" has the same BAR registered by its dma-buf, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES = 256 << 10 };

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *queue;
static struct ibv_qp *pair;

static void stop(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(2);
}

static int udmabuf(void)
{
    int device = open("/dev/udmabuf", O_RDWR), file = memfd_create("plain", MFD_ALLOW_SEALING);
    struct udmabuf_create create = {.memfd = (unsigned)file, .flags = UDMABUF_FLAGS_CLOEXEC, .size = BYTES};
    if (device < 0 || ftruncate(file, BYTES) != 0 || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
        stop("udmabuf");
    return ioctl(device, UDMABUF_CREATE, &create);
}

static int heap(void)
{
    struct dma_heap_allocation_data data = {.len = BYTES, .fd_flags = O_RDWR | O_CLOEXEC};
    int device = open("/dev/dma_heap/system", O_RDWR);
    return device < 0 || ioctl(device, DMA_HEAP_IOCTL_ALLOC, &data) != 0 ? -1 : (int)data.fd;
}

static void *mapped(int file, int flags, int protection)
{
    void *memory = mmap(NULL, BYTES, protection, flags, file, 0);
    if (memory == MAP_FAILED)
        stop("mmap");
    return memory;
}

static void tell(const char *directory, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    int opened = open(path, O_WRONLY);
    if (opened < 0 || write(opened, text, strlen(text)) < 0)
        stop(path);
    close(opened);
}

/* Takes the driver from the function whose pool this is, and gives it back. */
static void rebind(const char *pool, int taking, int giving)
{
    char function[64];
    if (sscanf(pool, "/sys/bus/pci/devices/%63[^/]", function) != 1)
        stop(pool);
    if (taking)
        tell("/sys/bus/pci/drivers/nvme", "unbind", function);
    if (giving)
        tell("/sys/bus/pci/drivers/nvme", "bind", function);
}

/* The descriptor of a function, by way of its group; that of a group is kept for the next function of it. */
static int open_function(const char *function)
{
    static int container = -1, group = -1;
    static char known[256];
    char path[256], target[256];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", function);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    if (length < 0)
        stop(path);
    target[length] = 0;
    if (strcmp(known, target) != 0) {
        snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
        container = open("/dev/vfio/vfio", O_RDWR);
        group = open(path, O_RDWR);
        if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) != 0
            || ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0)
            stop(path);
        snprintf(known, sizeof(known), "%s", target);
    }
    int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, function);
    if (device < 0)
        stop(function);
    return device;
}

static int vfio_device;

/* BAR 2 of a function, or what the kind says of it. */
static char *vfio_memory(const char *kind, const char *functions)
{
    char first[32] = "", second[32] = "";
    uint64_t bar = 2ull << 40;
    sscanf(functions, "%31[^,],%31s", first, second);
    int device = vfio_device = open_function(first), protection = PROT_READ | PROT_WRITE;
    if (second[0])
        (void)open_function(second);
    if (strncmp(kind, "vfio-reading", 12) == 0)
        protection = PROT_READ;
    char *memory = mmap(NULL, BYTES, protection, MAP_SHARED, device, (off_t)bar);
    if (memory == MAP_FAILED)
        stop("mmap");
    if (strncmp(kind, "vfio-half", 9) == 0)
        munmap(memory + BYTES / 2, BYTES / 2);
    if (strncmp(kind, "vfio-pieces", 11) == 0
        && mmap(memory + BYTES / 2, BYTES / 2, protection, MAP_SHARED | MAP_FIXED, device, (off_t)bar) == MAP_FAILED)
        stop("mmap");
    if (strncmp(kind, "vfio-closed", 11) == 0 || strncmp(kind, "vfio-other", 10) == 0)
        close(device);
    return memory;
}

/* The same part of the BAR as a region by descriptor; it has to show the same bytes. */
static struct ibv_mr *by_descriptor(size_t offset, size_t length, int access)
{
    struct {
        struct vfio_device_feature feature;
        uint32_t region, open_flags, flags, ranges;
        uint64_t offset, length;
    } export = {.feature = {.argsz = sizeof(export), .flags = VFIO_DEVICE_FEATURE_GET | 11 /* DMA_BUF, Linux 6.19 */},
                .region = 2, .open_flags = O_RDWR | O_CLOEXEC, .ranges = 1, .length = BYTES};
    int buffer = ioctl(vfio_device, VFIO_DEVICE_FEATURE, &export);
    if (buffer < 0)
        stop("VFIO_DEVICE_FEATURE_DMA_BUF");
    return ibv_reg_dmabuf_mr(pd, offset, length, 0x10000000 + offset, buffer, access);
}

static char *memory_of(const char *kind)
{
    const char *path = strchr(kind, '=');
    int both = PROT_READ | PROT_WRITE;
    if (strcmp(kind, "host") == 0)
        return mapped(-1, MAP_PRIVATE | MAP_ANONYMOUS, both);
    if (strcmp(kind, "nothing") == 0) {
        char *memory = mapped(-1, MAP_PRIVATE | MAP_ANONYMOUS, both);
        munmap(memory, BYTES);
        return memory;
    }
    if (strncmp(kind, "mixed=", 6) == 0) {
        char *memory = mapped(-1, MAP_PRIVATE | MAP_ANONYMOUS, both);
        if (mmap(memory, BYTES / 2, both, MAP_SHARED | MAP_FIXED, open(path + 1, O_RDWR), 0) == MAP_FAILED)
            stop("mmap");
        return memory;
    }
    if (strncmp(kind, "vfio", 4) == 0)
        return vfio_memory(kind, path + 1);
    if (path) {
        char *memory = mapped(open(path + 1, O_RDWR), MAP_SHARED, both);
        if (strncmp(kind, "unbound=", 8) == 0 || strncmp(kind, "rebound=", 8) == 0)
            rebind(path + 1, 1, kind[0] == 'r');
        return memory;
    }
    int buffer = strncmp(kind, "heap", 4) == 0 ? heap() : udmabuf();
    char *memory = mapped(buffer, strstr(kind, "private") ? MAP_PRIVATE : MAP_SHARED,
                          strstr(kind, "reading") ? PROT_READ : both);
    if (strstr(kind, "closed"))
        close(buffer);
    return memory;
}

/* Connects the queue pair to itself, over Ethernet by the address that maps an IPv4 one. */
static void connect_to_itself(void)
{
    struct ibv_port_attr port;
    struct ibv_qp_init_attr init = {.send_cq = queue, .recv_cq = queue, .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
                                    .cap = {.max_send_wr = 4, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};
    pair = ibv_create_qp(pd, &init);
    if (!pair || ibv_query_port(context, 1, &port) != 0)
        stop("ibv_create_qp");
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1,
                               .qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ};
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    int failed = ibv_modify_qp(pair, &attr, mask);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = port.active_mtu, .dest_qp_num = pair->qp_num,
                                .max_dest_rd_atomic = 1, .min_rnr_timer = 12};
    attr.ah_attr = (struct ibv_ah_attr){.dlid = port.lid, .port_num = 1};
    if (port.link_layer == IBV_LINK_LAYER_ETHERNET) {
        int index = 0;
        union ibv_gid gid = {{0}};
        while (index < port.gid_tbl_len && !(ibv_query_gid(context, 1, index, &gid) == 0 && gid.raw[10] == 0xff))
            index++;
        attr.ah_attr.is_global = 1;
        attr.ah_attr.grh = (struct ibv_global_route){.dgid = gid, .sgid_index = (uint8_t)index, .hop_limit = 1};
    }
    failed |= ibv_modify_qp(pair, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN
                                             | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7,
                                .max_rd_atomic = 1};
    failed |= ibv_modify_qp(pair, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY
                                             | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
    if (failed)
        stop("ibv_modify_qp");
}

/* Moves between the region, by its address as programs have it, and a buffer of the host's. */
static enum ibv_wc_status move(enum ibv_wr_opcode opcode, struct ibv_mr *region, char *there, struct ibv_mr *local,
                               char *here, size_t length)
{
    struct ibv_sge entry = {.addr = (uintptr_t)here, .length = (uint32_t)length, .lkey = local->lkey};
    struct ibv_send_wr *bad, request = {.sg_list = &entry, .num_sge = 1, .opcode = opcode};
    struct ibv_wc completion;
    int found;
    request.wr.rdma.remote_addr = (uintptr_t)there;
    request.wr.rdma.rkey = region->rkey;
    if (ibv_post_send(pair, &request, &bad) != 0)
        stop("ibv_post_send");
    while ((found = ibv_poll_cq(queue, 1, &completion)) == 0)
        ;
    return found < 0 ? IBV_WC_GENERAL_ERR : completion.status;
}

static void fill(char *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)((i * 2654435761u + seed) >> 7);
}

/* What was written by address is read by descriptor, and the other way. */
static void compare_descriptor(struct ibv_mr *region, char *memory, size_t offset, size_t length, int access)
{
    struct ibv_mr *other = by_descriptor(offset, length, access);
    char *buffer = mapped(-1, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE);
    char *expected = malloc(length);
    struct ibv_mr *local = ibv_reg_mr(pd, buffer, BYTES, IBV_ACCESS_LOCAL_WRITE);
    struct {
        struct ibv_mr *mr;
        char *start;
    } ways[2] = {{region, memory}, {other, (char *)(uintptr_t)(0x10000000 + offset)}};
    if (!other || !local || !expected)
        stop("ibv_reg_dmabuf_mr");
    for (int i = 0; i < 2; i++) {
        fill(expected, length, 10 + (unsigned)i);
        memcpy(buffer, expected, length);
        move(IBV_WR_RDMA_WRITE, ways[i].mr, ways[i].start, local, buffer, length);
        memset(buffer, 0, length);
        move(IBV_WR_RDMA_READ, ways[!i].mr, ways[!i].start, local, buffer, length);
        printf("by %s, by %s: %s\n", i ? "descriptor" : "address", i ? "address" : "descriptor",
               memcmp(buffer, expected, length) == 0 ? "equal" : "DIFFERENT");
    }
    if (ibv_dereg_mr(other) != 0 || ibv_dereg_mr(local) != 0)
        stop("ibv_dereg_mr");
}

/* What goes in by the device is seen in the mapping, and what is written there comes out by the device. */
static void exchange(struct ibv_mr *region, char *memory, size_t length)
{
    char *buffer = mapped(-1, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE);
    char *expected = malloc(length);
    struct ibv_mr *local = ibv_reg_mr(pd, buffer, BYTES, IBV_ACCESS_LOCAL_WRITE);
    if (!local || !expected)
        stop("ibv_reg_mr of the host's memory");
    fill(expected, length, 1);
    memcpy(buffer, expected, length);
    memset(memory, 0, length);
    printf("write %s", ibv_wc_status_str(move(IBV_WR_RDMA_WRITE, region, memory, local, buffer, length)));
    printf(", %s\n", memcmp(memory, expected, length) == 0 ? "equal" : "DIFFERENT");
    fill(expected, length, 2);
    memcpy(memory, expected, length);
    memset(buffer, 0, length);
    printf("read %s", ibv_wc_status_str(move(IBV_WR_RDMA_READ, region, memory, local, buffer, length)));
    printf(", %s\n", memcmp(buffer, expected, length) == 0 ? "equal" : "DIFFERENT");
    printf("host deregistered %d\n", ibv_dereg_mr(local));
}

/* Whose call the device's ibv_post_send is. */
static void show_calls(void)
{
    Dl_info info;
    const char *name = dladdr((void *)context->ops.post_send, &info) ? strrchr(info.dli_fname, '/') : NULL;
    printf("posts by %s\n", name ? name + 1 : "nobody");
}

static int is_loaded(const char *library)
{
    char line[512];
    int found = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof(line), file))
        found |= strstr(line, library) != NULL;
    return found;
}

int main(int count, char **words)
{
    int devices = 0, access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    struct ibv_device **list = ibv_get_device_list(&devices);
    if (count < 3)
        return 2;
    for (int i = 0; i < devices; i++)
        if (strcmp(ibv_get_device_name(list[i]), words[1]) == 0)
            context = ibv_open_device(list[i]);
    pd = context ? ibv_alloc_pd(context) : NULL;
    queue = pd ? ibv_create_cq(context, 8, NULL, NULL, 0) : NULL;
    if (!queue)
        stop("the device");
    size_t offset = count > 3 ? (size_t)atol(words[3]) : 0;
    size_t length = count > 4 ? (size_t)atol(words[4]) : BYTES - offset;
    char *memory = memory_of(words[2]) + offset;
    errno = 77;
    struct ibv_mr *region = ibv_reg_mr(pd, memory, length, access);
    if (!region) {
        printf("refused %d\n", errno);
    } else {
        printf("registered, address %s, length %zu, errno %d\n", region->addr == memory ? "as asked" : "OTHER",
               region->length, errno);
        connect_to_itself();
        exchange(region, memory, length);
        if (count > 5 && strcmp(words[5], "calls") == 0)
            show_calls();
        if (count > 5 && strcmp(words[5], "descriptor") == 0)
            compare_descriptor(region, memory, offset, length, access);
        printf("deregistered %d\n", ibv_dereg_mr(region));
        ibv_destroy_qp(pair);
    }
    if (strncmp(words[2], "unbound=", 8) == 0)
        rebind(strchr(words[2], '=') + 1, 0, 1);
    printf("libpeermr %s\n", is_loaded("/libpeermr.so") ? "loaded" : "not loaded");
    return ibv_destroy_cq(queue) || ibv_dealloc_pd(pd) || ibv_close_device(context);
}
