/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application of plain verbs, in what C99 and C++11 have in common, which owes PeerMR nothing but its regions:
 *
 *     verbs-program RDMA_DEVICE PCI_ADDRESS
 *
 * It registers p2pmem in three ways, leases some of a cache, and moves whole pages into it and out of it by a queue
 * pair that is connected to itself. Every line that it prints begins with "ok"; it ends with 0 where all went well.
 */
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <peermr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define BYTES (4 * PAGE)
#define ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ)

struct verbs {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_port_attr port;
    unsigned char *host;
    struct ibv_mr *host_mr;
};

static int failed(const char *what)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    peermr_last_error(&error);
    fprintf(stderr, "%s: %s\n", what, error.message ? error.message : "");
    return 0;
}

static int open_device(struct verbs *verbs, const char *name)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    for (int i = 0; list && list[i]; i++)
        if (strcmp(ibv_get_device_name(list[i]), name) == 0)
            verbs->context = ibv_open_device(list[i]);
    ibv_free_device_list(list);
    if (!verbs->context || ibv_query_port(verbs->context, 1, &verbs->port) != 0)
        return 0;
    void *memory = NULL;
    if (posix_memalign(&memory, PAGE, 2 * BYTES) != 0)
        return 0;
    verbs->host = (unsigned char *)memory;
    verbs->pd = ibv_alloc_pd(verbs->context);
    verbs->cq = verbs->pd ? ibv_create_cq(verbs->context, 8, NULL, NULL, 0) : NULL;
    verbs->host_mr = verbs->pd ? ibv_reg_mr(verbs->pd, verbs->host, 2 * BYTES, ACCESS) : NULL;
    if (!verbs->cq || !verbs->host_mr)
        return 0;
    struct ibv_qp_init_attr wanted;
    memset(&wanted, 0, sizeof(wanted));
    wanted.send_cq = wanted.recv_cq = verbs->cq;
    wanted.cap.max_send_wr = wanted.cap.max_recv_wr = 4;
    wanted.cap.max_send_sge = wanted.cap.max_recv_sge = 1;
    wanted.qp_type = IBV_QPT_RC;
    verbs->qp = ibv_create_qp(verbs->pd, &wanted);
    return verbs->qp != NULL;
}

/* To ready-to-send, with itself as its peer. */
static int connect_to_itself(struct verbs *verbs)
{
    struct ibv_qp_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.qp_state = IBV_QPS_INIT;
    attr.port_num = 1;
    attr.qp_access_flags = ACCESS;
    if (ibv_modify_qp(verbs->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) != 0)
        return 0;
    memset(&attr, 0, sizeof(attr));
    attr.qp_state = IBV_QPS_RTR;
    attr.path_mtu = verbs->port.active_mtu;
    attr.dest_qp_num = verbs->qp->qp_num;
    attr.max_dest_rd_atomic = 1;
    attr.min_rnr_timer = 12;
    attr.ah_attr.port_num = 1;
    attr.ah_attr.is_global = 1;
    attr.ah_attr.grh.sgid_index = 1;
    attr.ah_attr.grh.hop_limit = 1;
    if (ibv_query_gid(verbs->context, 1, 1, &attr.ah_attr.grh.dgid) != 0
        || ibv_modify_qp(verbs->qp, &attr,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN
                             | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) != 0)
        return 0;
    attr.qp_state = IBV_QPS_RTS;
    attr.timeout = 14;
    attr.retry_cnt = 6;
    attr.rnr_retry = 6;
    attr.max_rd_atomic = 1;
    return ibv_modify_qp(verbs->qp, &attr,
                         IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN
                             | IBV_QP_MAX_QP_RD_ATOMIC) == 0;
}

/* The status of the completion; IBV_WC_GENERAL_ERR where there is none. */
static enum ibv_wc_status post(struct verbs *verbs, enum ibv_wr_opcode opcode, unsigned char *local, uint64_t address,
                               uint32_t rkey)
{
    struct ibv_sge piece;
    struct ibv_send_wr work, *bad = NULL;
    struct ibv_wc done;
    int count = 0;
    memset(&piece, 0, sizeof(piece));
    memset(&work, 0, sizeof(work));
    piece.addr = (uintptr_t)local;
    piece.length = BYTES;
    piece.lkey = verbs->host_mr->lkey;
    work.sg_list = &piece;
    work.num_sge = 1;
    work.opcode = opcode;
    work.send_flags = IBV_SEND_SIGNALED;
    work.wr.rdma.remote_addr = address;
    work.wr.rdma.rkey = rkey;
    if (ibv_post_send(verbs->qp, &work, &bad) != 0)
        return IBV_WC_GENERAL_ERR;
    while (count == 0)
        count = ibv_poll_cq(verbs->cq, 1, &done);
    return count < 0 ? IBV_WC_GENERAL_ERR : done.status;
}

static int move(struct verbs *verbs, enum ibv_wr_opcode opcode, unsigned char *local, uint64_t address, uint32_t rkey)
{
    enum ibv_wc_status status = post(verbs, opcode, local, address, rkey);
    if (status != IBV_WC_SUCCESS)
        fprintf(stderr, "%s\n", ibv_wc_status_str(status));
    return status == IBV_WC_SUCCESS;
}

/* Bytes of the host's go through keys into the memory, are seen there by the CPU, and come back. */
static int through(struct verbs *verbs, uint64_t address, uint32_t rkey, const unsigned char *memory, int seed)
{
    unsigned char *back = verbs->host + BYTES;
    for (unsigned i = 0; i < BYTES; i++)
        verbs->host[i] = (unsigned char)(i * 7 + i / PAGE + (unsigned)seed);
    memset(back, 0, BYTES);
    if (!move(verbs, IBV_WR_RDMA_WRITE, verbs->host, address, rkey))
        return failed("write");
    if (memcmp(verbs->host, memory, BYTES) != 0)
        return failed("other bytes are in the memory than were written");
    if (!move(verbs, IBV_WR_RDMA_READ, back, address, rkey))
        return failed("read");
    if (memcmp(verbs->host, back, BYTES) != 0)
        return failed("other bytes came back");
    return 1;
}

static int use(struct verbs *verbs, struct peermr_region *region, const unsigned char *memory, unsigned char seed)
{
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct ibv_mr *mr = peermr_region_mr(region);
    if (!mr || peermr_region_info(region, &info) != PEERMR_OK)
        return failed("describe");
    if (mr->lkey != info.lkey || mr->rkey != info.rkey || mr->pd != verbs->pd || info.address != memory)
        return failed("the region is not as it is described");
    if (info.kind != PEERMR_KIND_P2PMEM || info.method != PEERMR_METHOD_ON_DEMAND || info.bounced)
        return failed("the region is not over p2pmem");
    if (info.path_mtu && info.path_mtu != 128u << verbs->port.active_mtu)
        return failed("the path MTU does not fit");
    return through(verbs, info.io_address, mr->rkey, memory, seed);
}

static int allocated(struct verbs *verbs, const char *provider, struct peermr_options *options)
{
    struct peermr_p2pmem *memory;
    struct peermr_region *region;
    if (peermr_p2pmem_allocate(provider, BYTES, &memory) != PEERMR_OK)
        return failed("allocate");
    if (peermr_register_p2pmem(verbs->pd, memory, options, &region) != PEERMR_OK)
        return failed("register");
    if (!use(verbs, region, (unsigned char *)peermr_p2pmem_address(memory), 1))
        return 0;
    if (peermr_p2pmem_free(memory) != PEERMR_BUSY)
        return failed("p2pmem was freed below its region");
    if (peermr_deregister(region) != PEERMR_OK || peermr_p2pmem_free(memory) != PEERMR_OK)
        return failed("let go");
    if (peermr_deregister(region) != PEERMR_INVALID_ARGUMENT || peermr_p2pmem_free(memory) != PEERMR_INVALID_ARGUMENT)
        return failed("a second time");
    return printf("ok allocated by the library\n") > 0;
}

/* A mapping of the application's own: once ended by the library, once given away and ended by plain verbs. */
static int mapped(struct verbs *verbs, const char *provider, struct peermr_options *options)
{
    char path[128];
    struct peermr_region *region;
    struct ibv_mr *mr;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate", provider);
    int fd = open(path, O_RDWR);
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return failed("map");
    close(fd);
    for (int round = 0; round < 2; round++) {
        if (peermr_register_address(verbs->pd, memory, BYTES, options, &region) != PEERMR_OK)
            return failed("register the mapping");
        if (!use(verbs, region, (unsigned char *)memory, (unsigned char)(2 + round)))
            return 0;
        if (round == 0 && peermr_deregister(region) != PEERMR_OK)
            return failed("deregister");
        if (round == 1 && (peermr_region_detach(region, &mr) != PEERMR_OK || ibv_dereg_mr(mr) != 0))
            return failed("detach");
    }
    munmap(memory, BYTES);
    return printf("ok mapped by the application\n") > 0;
}

/* Leases again and again: the first registers, the others find it, and bytes go through each. */
static int leased(struct verbs *verbs, struct peermr_request *request, const unsigned char *memory, int seed,
                  struct peermr_lease *last)
{
    for (int round = 0; round < 3; round++) {
        struct peermr_lease lease = PEERMR_LEASE_INIT;
        if (peermr_cache_lease(request, 0, BYTES, &lease) != PEERMR_OK)
            return failed("lease");
        if (round > 0 && lease.rkey != last->rkey)
            return failed("another region was leased than before");
        if (!through(verbs, lease.io_address, lease.rkey, memory, seed + round))
            return 0;
        *last = lease;
        if (peermr_lease_release(&lease) != PEERMR_OK)
            return failed("release");
    }
    return 1;
}

/* p2pmem, then memory of the host where it was mapped, then other p2pmem: each lease is of what is there now. */
static int cached(struct verbs *verbs, const char *provider, struct peermr_options *options)
{
    struct peermr_cache *cache;
    struct peermr_p2pmem *memory;
    struct peermr_request *request;
    struct peermr_arena *arena;
    struct peermr_lease first = PEERMR_LEASE_INIT, second = PEERMR_LEASE_INIT, third = PEERMR_LEASE_INIT;
    struct peermr_cache_statistics seen = PEERMR_CACHE_STATISTICS_INIT;
    uint64_t ended = 0;
    if (peermr_cache_create(NULL, &cache) != PEERMR_OK
        || peermr_p2pmem_allocate(provider, BYTES, &memory) != PEERMR_OK
        || peermr_request_p2pmem(cache, verbs->pd, memory, options, &request) != PEERMR_OK)
        return failed("request p2pmem");
    unsigned char *place = (unsigned char *)peermr_p2pmem_address(memory);
    if (!leased(verbs, request, place, 10, &first))
        return 0;
    if (peermr_request_free(request) != PEERMR_OK || peermr_p2pmem_free(memory) != PEERMR_BUSY)
        return failed("p2pmem was freed below its cached region");
    if (peermr_cache_invalidate_p2pmem(cache, memory, 0, UINT64_MAX, &ended) != PEERMR_OK || ended != 1
        || peermr_p2pmem_free(memory) != PEERMR_OK)
        return failed("invalidate");
    if (mmap(place, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != place
        || peermr_arena_create(place, BYTES, &arena) != PEERMR_OK
        || peermr_request_arena(cache, verbs->pd, arena, options, &request) != PEERMR_OK)
        return failed("request host memory at the address");
    if (!leased(verbs, request, place, 20, &second))
        return 0;
    if (second.io_address != first.io_address || second.rkey == first.rkey)
        return failed("a key of what was mapped there before");
    if (peermr_request_free(request) != PEERMR_OK
        || peermr_cache_invalidate_arena(cache, arena, 0, UINT64_MAX, &ended) != PEERMR_OK || ended != 1
        || peermr_arena_free(arena) != PEERMR_OK || munmap(place, BYTES) != 0)
        return failed("free the arena");
    if (peermr_p2pmem_allocate(provider, BYTES, &memory) != PEERMR_OK
        || peermr_request_p2pmem(cache, verbs->pd, memory, options, &request) != PEERMR_OK
        || !leased(verbs, request, (unsigned char *)peermr_p2pmem_address(memory), 30, &third))
        return failed("lease other p2pmem");
    if (third.rkey == first.rkey || third.rkey == second.rkey)
        return failed("a key of memory that is gone");
    if (peermr_cache_statistics(cache, &seen) != PEERMR_OK || seen.misses != 3 || seen.hits != 6)
        return failed("the hits");
    /* What a stale key would do: nothing, for the device knows it no more. It ends the queue pair. */
    if (post(verbs, IBV_WR_RDMA_WRITE, verbs->host, first.io_address, first.rkey) == IBV_WC_SUCCESS)
        return failed("the first key still opens memory");
    if (peermr_request_free(request) != PEERMR_OK || peermr_cache_release_domain(cache, verbs->pd) != PEERMR_OK
        || peermr_cache_free(cache) != PEERMR_OK || peermr_p2pmem_free(memory) != PEERMR_OK)
        return failed("free the cache");
    return printf("ok leased from a cache\n") > 0;
}

int main(int count, char **words)
{
    struct verbs verbs;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    int good;
    memset(&verbs, 0, sizeof(verbs));
    options.access = ACCESS;
    if (count != 3 || !open_device(&verbs, words[1]) || !connect_to_itself(&verbs)) {
        perror("verbs");
        return 2;
    }
    good = allocated(&verbs, words[2], &options) && mapped(&verbs, words[2], &options)
           && cached(&verbs, words[2], &options);
    /* What the library had left would keep these from going. */
    if (ibv_destroy_qp(verbs.qp) != 0 || ibv_destroy_cq(verbs.cq) != 0 || ibv_dereg_mr(verbs.host_mr) != 0
        || ibv_dealloc_pd(verbs.pd) != 0 || ibv_close_device(verbs.context) != 0)
        good = failed("close");
    free(verbs.host);
    return good ? 0 : 1;
}
