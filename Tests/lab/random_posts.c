/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws requests between p2pmem and memory of the host, posts each to a queue pair that is connected to itself, and
 * compares every byte of both with what verbs promise.
 *
 *   random_posts DEVICE POOL SEED COUNT MTU [wr] [srq] [one-sided]
 *
 * A line for each request: its number, what it is, and "right", "WRONG", "refused" or the status of its completion; then
 * how many had to do with p2pmem. What is drawn depends on the seed alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, BYTES = 32 * PAGE, MOST = 3, SLOT = 4 * PAGE, FAR = 16 * PAGE };

struct area {
    char *bytes, *before;
    struct ibv_mr *region;
};

struct request {
    const char *name;
    enum ibv_wr_opcode opcode;
    struct ibv_sge list[MOST], into[MOST];
    int count, into_count, is_inline, uses_own;
    struct area *there;
    uint64_t remote;
};

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *queue;
static struct ibv_srq *shared;
static struct ibv_qp *pair;
static struct area own, host;
static int uses_wr, is_one_sided;
static uint64_t state;

static void stop(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(2);
}

static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

/* One of the entries: in a slot of its own, so that none lies over another. */
static struct ibv_sge entry(int slot, uint32_t length)
{
    static const uint32_t offsets[] = {0, 0, 0, 0, 8, 64, 2048};
    struct area *area = draw(5) < 3 ? &own : &host;
    uint64_t address = (uintptr_t)area->bytes + (uint64_t)slot * SLOT + offsets[draw(7)];
    return (struct ibv_sge){.addr = address, .length = length, .lkey = area->region->lkey};
}

static uint32_t length(void)
{
    static const uint32_t lengths[] = {8, 64, 100, 1024, 4032, 4096, 4096, 8192, 8256};
    return lengths[draw(9)];
}

static int is_own(uint64_t address)
{
    return address - (uintptr_t)own.bytes < BYTES;
}

static void draw_request(struct request *request)
{
    static const char *const names[] = {"write", "read", "inline", "atomic", "send"};
    static const enum ibv_wr_opcode opcodes[] = {IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
                                                 IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_SEND};
    unsigned kind = draw(is_one_sided ? 4 : 6);
    uint32_t total = 0;
    kind = kind > 4 ? 4 : kind;
    memset(request, 0, sizeof(*request));
    request->name = names[kind];
    request->opcode = opcodes[kind];
    request->is_inline = kind == 2;
    /* Lists by ibv_wr_set_sge_list go wrong on Soft-RoCE whatever the memory is (rdma-core 56). */
    request->count = kind == 2 || kind == 3 || uses_wr ? 1 : 1 + (int)draw(MOST);
    for (int i = 0; i < request->count; i++) {
        request->list[i] = entry(i, kind == 2 ? 8 * (1 + draw(8)) : kind == 3 ? 8 : length());
        total += request->list[i].length;
        request->uses_own |= !request->is_inline && is_own(request->list[i].addr);
    }
    if (kind < 4) {
        static const uint32_t offsets[] = {0, 0, 0, 8, 64, 4096};
        request->there = draw(2) ? &own : &host;
        request->remote = (uintptr_t)request->there->bytes + FAR + offsets[draw(6)];
        request->uses_own |= request->there == &own && kind != 3;
        return;
    }
    /* Just as much as is sent. */
    for (int i = 0; total > 0; i++) {
        uint32_t part = length();
        if (part > total || i == MOST - 1)
            part = total;
        request->into[request->into_count] = entry(4 + i, part);
        request->uses_own |= is_own(request->into[request->into_count++].addr);
        total -= part;
    }
}

/* The copy of an address, and the other way. */
static char *copied(uint64_t address)
{
    struct area *area = is_own(address) ? &own : &host;
    return area->before + (address - (uintptr_t)area->bytes);
}

static void refill(uint64_t address, uint32_t bytes)
{
    char *copy = copied(address);
    for (uint32_t i = 0; i < bytes; i++)
        copy[i] = (char)draw(256);
    memcpy((char *)(uintptr_t)address, copy, bytes);
}

/* Fresh bytes where the request takes them from, and in the copies what it promises. */
static void expect(const struct request *request)
{
    static char message[BYTES];
    uint32_t total = 0, at = 0;
    if (request->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        uint64_t value;
        refill(request->remote, 8);
        memcpy(&value, copied(request->remote), 8);
        memcpy(copied(request->list[0].addr), &value, 8);
        value += 0x0102030405060708;
        memcpy(copied(request->remote), &value, 8);
        return;
    }
    for (int i = 0; i < request->count; i++)
        total += request->list[i].length;
    if (request->opcode == IBV_WR_RDMA_READ) {
        refill(request->remote, total);
        for (int i = 0; i < request->count; at += request->list[i++].length)
            memcpy(copied(request->list[i].addr), copied(request->remote) + at, request->list[i].length);
        return;
    }
    for (int i = 0; i < request->count; at += request->list[i++].length) {
        refill(request->list[i].addr, request->list[i].length);
        memcpy(message + at, copied(request->list[i].addr), request->list[i].length);
    }
    if (request->opcode == IBV_WR_RDMA_WRITE)
        memcpy(copied(request->remote), message, total);
    at = 0;
    for (int i = 0; i < request->into_count; at += request->into[i++].length)
        memcpy(copied(request->into[i].addr), message + at, request->into[i].length);
}

static int build(const struct request *request)
{
    struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(pair);
    uint32_t rkey = request->there ? request->there->region->rkey : 0;
    ibv_wr_start(qp);
    qp->wr_id = 1;
    /* The provider of Soft-RoCE goes by the flag, whatever sets the data. */
    qp->wr_flags = IBV_SEND_SIGNALED | (request->is_inline ? IBV_SEND_INLINE : 0);
    if (request->opcode == IBV_WR_RDMA_WRITE)
        ibv_wr_rdma_write(qp, rkey, request->remote);
    else if (request->opcode == IBV_WR_RDMA_READ)
        ibv_wr_rdma_read(qp, rkey, request->remote);
    else if (request->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
        ibv_wr_atomic_fetch_add(qp, rkey, request->remote, 0x0102030405060708);
    else
        ibv_wr_send(qp);
    if (request->is_inline)
        ibv_wr_set_inline_data(qp, (void *)(uintptr_t)request->list[0].addr, request->list[0].length);
    else if (request->count == 1)
        ibv_wr_set_sge(qp, request->list[0].lkey, request->list[0].addr, request->list[0].length);
    return ibv_wr_complete(qp);
}

static int post(const struct request *request)
{
    struct ibv_send_wr *bad, send = {.wr_id = 1, .sg_list = (struct ibv_sge *)request->list,
                                     .num_sge = request->count, .opcode = request->opcode,
                                     .send_flags = IBV_SEND_SIGNALED | (request->is_inline ? IBV_SEND_INLINE : 0)};
    if (uses_wr)
        return build(request);
    if (request->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        send.wr.atomic.remote_addr = request->remote;
        send.wr.atomic.rkey = request->there->region->rkey;
        send.wr.atomic.compare_add = 0x0102030405060708;
    } else if (request->there) {
        send.wr.rdma.remote_addr = request->remote;
        send.wr.rdma.rkey = request->there->region->rkey;
    }
    return ibv_post_send(pair, &send, &bad);
}

static enum ibv_wc_status wait_for(int completions)
{
    enum ibv_wc_status status = IBV_WC_SUCCESS;
    struct ibv_wc completion;
    while (completions > 0) {
        int found = ibv_poll_cq(queue, 1, &completion);
        if (found < 0)
            stop("ibv_poll_cq");
        if (found > 0 && completion.status != IBV_WC_SUCCESS)
            return completion.status;
        completions -= found;
    }
    return status;
}

/* A receive that nothing was sent to: a message of no bytes takes it. */
static void drain(void)
{
    struct request nothing = {.opcode = IBV_WR_SEND};
    if (post(&nothing) != 0 || wait_for(2) != IBV_WC_SUCCESS)
        stop("a message of no bytes");
}

static const char *move(const struct request *request)
{
    struct ibv_recv_wr *bad, receive = {.sg_list = (struct ibv_sge *)request->into, .num_sge = request->into_count};
    int is_send = request->opcode == IBV_WR_SEND;
    if (is_send && (shared ? ibv_post_srq_recv(shared, &receive, &bad) : ibv_post_recv(pair, &receive, &bad)) != 0)
        return "refused";
    if (post(request) != 0) {
        if (is_send)
            drain();
        return "refused";
    }
    enum ibv_wc_status status = wait_for(1 + is_send);
    return status == IBV_WC_SUCCESS ? NULL : ibv_wc_status_str(status);
}

/* Compares, and takes over what is there. */
static int is_right(void)
{
    int right = memcmp(own.bytes, own.before, BYTES) == 0 && memcmp(host.bytes, host.before, BYTES) == 0;
    memcpy(own.before, own.bytes, BYTES);
    memcpy(host.before, host.bytes, BYTES);
    return right;
}

static void connect_to_itself(enum ibv_mtu mtu)
{
    struct ibv_port_attr port;
    struct ibv_qp_init_attr_ex init = {
        .send_cq = queue, .recv_cq = queue, .srq = shared, .qp_type = IBV_QPT_RC, .sq_sig_all = 1, .pd = pd,
        .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = MOST, .max_recv_sge = MOST, .max_inline_data = 64},
        .comp_mask = IBV_QP_INIT_ATTR_PD | (uses_wr ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0),
        .send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_SEND
                          | IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD};
    int access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC, index = 0;
    union ibv_gid gid = {{0}};
    pair = ibv_create_qp_ex(context, &init);
    if (!pair || ibv_query_port(context, 1, &port) != 0)
        stop("ibv_create_qp");
    while (index < port.gid_tbl_len && !(ibv_query_gid(context, 1, index, &gid) == 0 && gid.raw[10] == 0xff))
        index++;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = (unsigned)access};
    int failed = ibv_modify_qp(pair, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = mtu, .dest_qp_num = pair->qp_num,
                                .max_dest_rd_atomic = 1, .min_rnr_timer = 12,
                                .ah_attr = {.port_num = 1, .is_global = 1,
                                            .grh = {.dgid = gid, .sgid_index = (uint8_t)index, .hop_limit = 1}}};
    failed |= ibv_modify_qp(pair, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN
                                             | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7,
                                .max_rd_atomic = 1};
    failed |= ibv_modify_qp(pair, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY
                                             | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
    if (failed)
        stop("ibv_modify_qp");
}

static void make(struct area *area, const char *pool)
{
    int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
    area->bytes = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, pool ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
                       pool ? open(pool, O_RDWR) : -1, 0);
    area->before = malloc(BYTES);
    area->region = area->bytes == MAP_FAILED ? NULL : ibv_reg_mr(pd, area->bytes, BYTES, access);
    if (!area->region || !area->before)
        stop("ibv_reg_mr");
    memcpy(area->before, area->bytes, BYTES);
}

int main(int count, char **words)
{
    int devices = 0, involved = 0;
    struct ibv_device **list = ibv_get_device_list(&devices);
    struct ibv_srq_init_attr srq = {.attr = {.max_wr = 4, .max_sge = MOST}};
    if (count < 6)
        return 2;
    for (int i = 0; i < devices; i++)
        if (strcmp(ibv_get_device_name(list[i]), words[1]) == 0)
            context = ibv_open_device(list[i]);
    pd = context ? ibv_alloc_pd(context) : NULL;
    queue = pd ? ibv_create_cq(context, 8, NULL, NULL, 0) : NULL;
    if (!queue)
        stop("the device");
    enum ibv_mtu mtu = IBV_MTU_256;
    while (128 << mtu < atoi(words[5]))
        mtu++;
    for (int i = 6; i < count; i++) {
        uses_wr |= strcmp(words[i], "wr") == 0;
        is_one_sided |= strcmp(words[i], "one-sided") == 0;
        if (strcmp(words[i], "srq") == 0)
            shared = ibv_create_srq(pd, &srq);
    }
    state = 0x9e3779b97f4a7c15u * (uint64_t)(1 + atol(words[3]));
    make(&own, words[2]);
    make(&host, NULL);
    connect_to_itself(mtu);
    for (int i = 0; i < atoi(words[4]); i++) {
        struct request request;
        draw_request(&request);
        involved += request.uses_own;
        expect(&request);
        const char *failed = move(&request);
        int right = is_right();
        printf("%d %s %s\n", i, request.name, failed ? failed : right ? "right" : "WRONG");
        if (failed && strcmp(failed, "refused") != 0)
            break;
    }
    printf("involved %d\n", involved);
    return ibv_dereg_mr(own.region) || ibv_dereg_mr(host.region);
}
