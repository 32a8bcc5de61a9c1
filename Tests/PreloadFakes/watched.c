/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose posts the preload library watches, over a provider that takes everything. It registers "own" memory
 * (the file in FAKE_FILE, by PeerMR) and memory of the host, and does what each argument says:
 *
 *   send= write= read= inline= atomic= recv= srq= datagram= window= bind= wr= wr-inline= batch=
 *                   a post, its requests divided by /, entries by ",": o or h (whose memory), offset + length, and of
 *                   requests with a remote address > and o, or x (memory of nobody here), and the offset
 *   mtu=N           the queue pair is connected with this path MTU; "second" is a queue pair that was never seen
 *   dereg, again    the own memory is deregistered; registered again
 *   ops             whose the calls of the context are
 *   asked           how often libibverbs was asked for a queue pair's attributes
 *   fork            the rest is done by a child
 *   forks           children register while a thread of the parent does
 *   threads         half of them register and deregister, the others post right and wrong requests
 *
 * Each post is a line: what it returned, the index of the bad request, and how many requests the provider was given.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 16384, MOST = 8, NOBODYS = 0x40000000 };

static char host[BYTES] __attribute__((aligned(4096)));
static char *own;
static struct ibv_device device = {.name = "fake0"};
static struct verbs_context context;
static struct ibv_pd pd;
static struct ibv_srq queue;
static struct ibv_qp_ex extended;
static struct ibv_qp plain, *pair = &plain;
static struct ibv_mr *own_region, *host_region;
static _Atomic int posted;

/* The provider. */

static int query_port(struct ibv_context *asked, uint8_t port, struct ibv_port_attr *attributes, size_t size)
{
    (void)asked;
    (void)size;
    attributes->state = IBV_PORT_ACTIVE;
    attributes->active_mtu = IBV_MTU_4096;
    return port > 1 ? EINVAL : 0;
}

static int take_send(struct ibv_qp *qp, struct ibv_send_wr *requests, struct ibv_send_wr **bad)
{
    (void)qp;
    (void)bad;
    for (; requests; requests = requests->next)
        posted++;
    return 0;
}

static int take_recv(struct ibv_qp *qp, struct ibv_recv_wr *requests, struct ibv_recv_wr **bad)
{
    (void)qp;
    (void)bad;
    for (; requests; requests = requests->next)
        posted++;
    return 0;
}

static int take_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *requests, struct ibv_recv_wr **bad)
{
    (void)srq;
    return take_recv(NULL, requests, bad);
}

static int take_window(struct ibv_qp *qp, struct ibv_mw *window, struct ibv_mw_bind *bind)
{
    (void)qp;
    (void)window;
    (void)bind;
    posted++;
    return 0;
}

static int building;
static void begin(struct ibv_qp_ex *qp) { (void)qp, building = 0; }
static int complete(struct ibv_qp_ex *qp) { (void)qp; posted += building; return 0; }
static void give_up(struct ibv_qp_ex *qp) { (void)qp, building = 0; }
static void build_send(struct ibv_qp_ex *qp) { (void)qp, building++; }
static void build_remote(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
    (void)qp, (void)rkey, (void)address, building++;
}
static void set_sge(struct ibv_qp_ex *qp, uint32_t lkey, uint64_t address, uint32_t length)
{
    (void)qp, (void)lkey, (void)address, (void)length;
}
static void set_list(struct ibv_qp_ex *qp, size_t count, const struct ibv_sge *list)
{
    (void)qp, (void)count, (void)list;
}
static void set_inline(struct ibv_qp_ex *qp, void *address, size_t length) { (void)qp, (void)address, (void)length; }

/* The requests of an argument. */

struct request {
    struct ibv_sge list[MOST];
    int count;
    uint32_t rkey;
    uint64_t remote;
};

static void parse_request(char *text, struct request *request)
{
    char *there = strchr(text, '>'), *rest = NULL;
    memset(request, 0, sizeof(*request));
    if (there) {
        *there++ = 0;
        request->rkey = *there == 'o' ? own_region->rkey : 0x99;
        request->remote = (*there == 'o' ? (uintptr_t)own : NOBODYS) + strtoul(there + 1, NULL, 0);
    }
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        struct ibv_sge *entry = &request->list[request->count++];
        entry->addr = (uintptr_t)(*word == 'o' ? own : host) + strtoul(word + 1, &word, 0);
        entry->length = (uint32_t)strtoul(word + 1, NULL, 0);
        entry->lkey = entry->addr - (uintptr_t)own < BYTES ? own_region->lkey : host_region->lkey;
    }
}

static int is(const char *name, const char *word)
{
    return strncmp(name, word, strlen(word)) == 0 && name[strlen(word)] == '=';
}

static enum ibv_wr_opcode opcode_of(const char *name)
{
    return is(name, "write") || is(name, "inline") ? IBV_WR_RDMA_WRITE
           : is(name, "read")                      ? IBV_WR_RDMA_READ
           : is(name, "atomic")                    ? IBV_WR_ATOMIC_FETCH_AND_ADD
           : is(name, "window")                    ? IBV_WR_BIND_MW
                                                   : IBV_WR_SEND;
}

static int send(const char *name, struct request *requests, int count, int *bad_index)
{
    struct ibv_send_wr list[MOST] = {{0}}, *bad = NULL;
    for (int i = 0; i < count; i++) {
        list[i].sg_list = requests[i].list;
        list[i].num_sge = requests[i].count;
        list[i].next = i + 1 < count ? &list[i + 1] : NULL;
        list[i].opcode = opcode_of(name);
        list[i].send_flags = is(name, "inline") ? IBV_SEND_INLINE : 0;
        list[i].wr.rdma.rkey = requests[i].rkey;
        list[i].wr.rdma.remote_addr = requests[i].remote;
        if (list[i].opcode == IBV_WR_BIND_MW)
            list[i].bind_mw.bind_info = (struct ibv_mw_bind_info){.mr = own_region, .addr = requests[i].list[0].addr,
                                                                 .length = requests[i].list[0].length};
    }
    int result = ibv_post_send(pair, list, &bad);
    *bad_index = bad ? (int)(bad - list) : -1;
    for (int i = 0; i < count; i++)
        if (list[i].next != (i + 1 < count ? &list[i + 1] : NULL))
            puts("THE LIST HAS CHANGED");
    return result;
}

static int receive(const char *name, struct request *requests, int count, int *bad_index)
{
    struct ibv_recv_wr list[MOST] = {{0}}, *bad = NULL;
    for (int i = 0; i < count; i++)
        list[i] = (struct ibv_recv_wr){.sg_list = requests[i].list, .num_sge = requests[i].count,
                                      .next = i + 1 < count ? &list[i + 1] : NULL};
    plain.qp_type = is(name, "datagram") ? IBV_QPT_UD : IBV_QPT_RC;
    int result = is(name, "srq") ? ibv_post_srq_recv(&queue, list, &bad) : ibv_post_recv(&plain, list, &bad);
    *bad_index = bad ? (int)(bad - list) : -1;
    return result;
}

static int bind(const struct request *request)
{
    struct ibv_mw window = {.context = &context.context, .pd = &pd, .type = IBV_MW_TYPE_1};
    struct ibv_mw_bind bind = {.bind_info = {.mr = own_region, .addr = request->list[0].addr,
                                             .length = request->list[0].length}};
    return ibv_bind_mw(pair, &window, &bind);
}

/* A batch of extended requests; the first two ways have one entry, the last a list. */
static int build(const char *name, const struct request *requests, int count)
{
    struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(&extended.qp_base);
    ibv_wr_start(qp);
    for (int i = 0; i < count; i++) {
        const struct request *request = &requests[i];
        if (request->remote)
            ibv_wr_rdma_write(qp, request->rkey, request->remote);
        else
            ibv_wr_send(qp);
        if (is(name, "wr-inline"))
            ibv_wr_set_inline_data(qp, host, request->list[0].length);
        else if (is(name, "batch"))
            ibv_wr_set_sge_list(qp, (size_t)request->count, request->list);
        else
            ibv_wr_set_sge(qp, request->list[0].lkey, request->list[0].addr, request->list[0].length);
    }
    return ibv_wr_complete(qp);
}

static void post(char *word)
{
    struct request requests[MOST];
    char *name = strdup(word), *rest = NULL;
    int count = 0, bad = -1, result;
    for (char *each = strtok_r(strchr(word, '=') + 1, "/", &rest); each; each = strtok_r(NULL, "/", &rest))
        parse_request(each, &requests[count++]);
    posted = 0;
    errno = 0;
    if (is(name, "bind"))
        result = bind(requests);
    else if (is(name, "recv") || is(name, "srq") || is(name, "datagram"))
        result = receive(name, requests, count, &bad);
    else if (is(name, "wr") || is(name, "wr-inline") || is(name, "batch"))
        result = build(name, requests, count);
    else
        result = send(name, requests, count, &bad);
    printf("%s: %d bad %d posted %d\n", name, result, bad, posted);
    free(name);
}

static void register_own(void)
{
    setenv("FAKE_ERRNO", "14", 1);
    own_region = ibv_reg_mr(&pd, own, BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    unsetenv("FAKE_ERRNO");
    printf("own %s\n", own_region ? "registered" : "refused");
}

static void connect_pair(int mtu)
{
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RTR};
    while (128 << attributes.path_mtu < mtu)
        attributes.path_mtu++;
    errno = 0;
    printf("modify %d\n", ibv_modify_qp(pair, &attributes, IBV_QP_STATE | IBV_QP_PATH_MTU));
}

static void show_calls(void)
{
    Dl_info info;
    void *calls[] = {(void *)context.context.ops.post_send, (void *)context.context.ops.post_recv,
                     (void *)extended.wr_start};
    for (int i = 0; i < 3; i++)
        printf("%s%s", i ? ", " : "calls of ",
               dladdr(calls[i], &info) && strstr(info.dli_fname, "preload") ? "the watch" : "the provider");
    puts("");
}

/* Regions come and go, and keys with them. */
static void *churn(void *failed)
{
    for (int i = 0; i < 20000; i++) {
        struct ibv_mr *region = ibv_reg_mr(&pd, own, 4096, IBV_ACCESS_LOCAL_WRITE);
        if (!region || ibv_dereg_mr(region) != 0)
            *(_Atomic int *)failed = 1;
    }
    return NULL;
}

static void *post_many(void *failed)
{
    for (int i = 0; i < 20000; i++) {
        struct ibv_sge entry = {.addr = (uintptr_t)own + (i & 1 ? 64 : 4096), .length = 64, .lkey = own_region->lkey};
        struct ibv_send_wr *bad, request = {.sg_list = &entry, .num_sge = 1, .opcode = IBV_WR_SEND};
        if (ibv_post_send(&plain, &request, &bad) != (i & 1 ? EINVAL : 0))
            *(_Atomic int *)failed = 1;
    }
    return NULL;
}

static void run_threads(void)
{
    pthread_t thread[8];
    _Atomic int failed = 0;
    setenv("FAKE_ERRNO", "14", 1);
    for (int i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, i & 1 ? churn : post_many, &failed);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    unsetenv("FAKE_ERRNO");
    puts(failed ? "some failed" : "all as expected");
}

/* A child inherits the locks that other threads held; each has to come to its end. */
static void run_forks(void)
{
    _Atomic int failed = 0;
    pthread_t thread;
    setenv("FAKE_ERRNO", "14", 1);
    pthread_create(&thread, NULL, churn, (void *)&failed);
    for (int i = 0; i < 200; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            struct ibv_mr *region = ibv_reg_mr(&pd, own, 4096, IBV_ACCESS_LOCAL_WRITE);
            _exit(!region || ibv_dereg_mr(region) != 0);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
            failed = 1;
    }
    pthread_join(thread, NULL);
    unsetenv("FAKE_ERRNO");
    puts(failed ? "some failed" : "all children ended");
}

static void act(char *word)
{
    if (strchr(word, '=') && !is(word, "mtu"))
        post(word);
    else if (is(word, "mtu"))
        connect_pair(atoi(word + 4));
    else if (strcmp(word, "second") == 0)
        pair = &(struct ibv_qp){0}, *(pair = malloc(sizeof(*pair))) = plain;
    else if (strcmp(word, "dereg") == 0)
        printf("dereg %d\n", ibv_dereg_mr(own_region));
    else if (strcmp(word, "again") == 0)
        register_own();
    else if (strcmp(word, "destroy") == 0)
        printf("destroy %d\n", ibv_destroy_qp(pair));
    else if (strcmp(word, "threads") == 0)
        run_threads();
    else if (strcmp(word, "forks") == 0)
        run_forks();
    else if (strcmp(word, "ops") == 0)
        show_calls();
    else if (strcmp(word, "asked") == 0)
        printf("asked %u times\n", ((unsigned (*)(unsigned))dlsym(RTLD_DEFAULT, "fake_ibverbs_count"))(6));
}

int main(int count, char **words)
{
    const char *path = getenv("FAKE_FILE");
    own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, path ? open(path, O_RDWR) : -1, 0);
    if (own == MAP_FAILED)
        return 3;
    context.context = (struct ibv_context){.device = &device, .abi_compat = __VERBS_ABI_IS_EXTENDED};
    context.context.ops.post_send = take_send;
    context.context.ops.post_recv = take_recv;
    context.context.ops.post_srq_recv = take_srq_recv;
    context.context.ops.bind_mw = take_window;
    context.sz = sizeof(context);
    context.query_port = query_port;
    pd.context = &context.context;
    queue = (struct ibv_srq){.context = &context.context, .pd = &pd};
    plain = (struct ibv_qp){.context = &context.context, .pd = &pd, .qp_type = IBV_QPT_RC, .qp_num = 17};
    plain.events_completed = IBV_MTU_4096;
    extended = (struct ibv_qp_ex){.qp_base = plain, .wr_start = begin, .wr_complete = complete, .wr_abort = give_up,
                                  .wr_send = build_send, .wr_rdma_write = build_remote, .wr_rdma_read = build_remote,
                                  .wr_set_sge = set_sge, .wr_set_sge_list = set_list,
                                  .wr_set_inline_data = set_inline};
    extended.qp_base.srq = &queue;
    host_region = ibv_reg_mr(&pd, host, BYTES, IBV_ACCESS_LOCAL_WRITE);
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096};
    ibv_modify_qp(&extended.qp_base, &attributes, IBV_QP_STATE | IBV_QP_PATH_MTU);
    for (int i = 1; i < count; i++) {
        if (i == 1 && strcmp(words[1], "later") != 0)
            register_own();
        if (strcmp(words[i], "fork") == 0) {
            fflush(stdout);
            if (fork() != 0)
                return wait(NULL) < 0;
        }
        act(words[i]);
    }
    return 0;
}
