/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bytes to and from another host's memory by libfabric: RMA writes and reads, tagged messages.
 *
 *   fabric-move own MEMORY ADDRESS               the memory's owner; MEMORY is "host" or a PCI address with p2pmem,
 *                                                ADDRESS that of its RDMA device
 *   fabric-move to HOST REQUEST...               put:OFFSET:LENGTH get:… send:… receive:…
 *
 * Nothing in it knows of PeerMR. The owner fills its memory before each request, and compares every byte after it.
 * FI_PROVIDER chooses a provider; else it is verbs;ofi_rxm, reliable datagrams over verbs.
 */
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_tagged.h>

#include "../common.h"

enum { TAG = 77 };

static struct fi_info *info;
static struct fid_fabric *fabric;
static struct fid_domain *domain;
static struct fid_ep *endpoint;
static struct fid_cq *completions;
static struct fid_av *addresses;
static fi_addr_t peer;

static void must(ssize_t status, const char *call)
{
    if (status < 0)
        stop("%s: %s", call, fi_strerror((int)-status));
}

/* Let the provider work; whether an operation of ours has completed. */
static bool progress(void)
{
    struct fi_cq_tagged_entry entry;
    struct fi_cq_err_entry error = {0};
    ssize_t count = fi_cq_read(completions, &entry, 1);
    if (count == -FI_EAVAIL && fi_cq_readerr(completions, &error, 0) == 1)
        stop("an operation failed: %s", fi_strerror(error.err));
    return count == 1;
}

/* Find the device that `node` is an address of, or that leads there, and make an endpoint on it. */
static void set_up(const char *node, bool is_ours)
{
    struct fi_info *hints = fi_allocinfo();
    struct fi_cq_attr cq = {.format = FI_CQ_FORMAT_TAGGED};
    struct fi_av_attr av = {.type = FI_AV_TABLE};
    const char *provider = getenv("FI_PROVIDER") ? getenv("FI_PROVIDER") : "verbs;ofi_rxm";
    hints->fabric_attr->prov_name = strdup(provider);
    hints->ep_attr->type = FI_EP_RDM;
    hints->caps = FI_MSG | FI_TAGGED | FI_RMA;
    hints->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    int status = fi_getinfo(FI_VERSION(1, 20), node, is_ours ? "18650" : NULL, is_ours ? FI_SOURCE : 0, hints, &info);
    if (status)
        stop("fi_getinfo: %s; the provider %s finds no RDMA device for the address %s.", fi_strerror(-status), provider,
             node);
    fi_freeinfo(hints);
    must(fi_fabric(info->fabric_attr, &fabric, NULL), "fi_fabric");
    must(fi_domain(fabric, info, &domain, NULL), "fi_domain");
    must(fi_endpoint(domain, info, &endpoint, NULL), "fi_endpoint");
    must(fi_cq_open(domain, &cq, &completions, NULL), "fi_cq_open");
    must(fi_av_open(domain, &av, &addresses, NULL), "fi_av_open");
    must(fi_ep_bind(endpoint, &completions->fid, FI_SEND | FI_RECV), "fi_ep_bind");
    must(fi_ep_bind(endpoint, &addresses->fid, 0), "fi_ep_bind");
    must(fi_enable(endpoint), "fi_enable");
}

/* Register memory: what fails over p2pmem without PeerMR. */
static struct fid_mr *registered(void *memory)
{
    struct fid_mr *region;
    must(fi_mr_reg(domain, memory, MEMORY_BYTES,
                   FI_SEND | FI_RECV | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE, 0, 1, 0, &region, NULL),
         "fi_mr_reg");
    return region;
}

/* Exchange the endpoints' addresses. */
static void connect_endpoint(int line)
{
    char ours[256], theirs[256];
    size_t length = sizeof(ours);
    uint64_t told;
    must(fi_getname(&endpoint->fid, ours, &length), "fi_getname");
    told = length;
    tell(line, &told, sizeof(told));
    tell(line, ours, length);
    must_hear(line, &told, sizeof(told));
    if (told > sizeof(theirs))
        stop("the other end is no fabric-move.");
    must_hear(line, theirs, told);
    if (fi_av_insert(addresses, theirs, 1, &peer, 0, NULL) != 1)
        stop("fi_av_insert: the other end's address is of another kind.");
}

/* Wait until the other end says so over the connection; what it asks of us by libfabric happens meanwhile. */
static void await(int line, int *completed)
{
    char done;
    ssize_t heard;
    while ((heard = recv(line, &done, 1, MSG_DONTWAIT)) < 0)
        *completed += progress();
    if (heard == 0)
        stop("the other end has gone.");
}

static bool is(const struct request *request, const char *name)
{
    return strcmp(request->name, name) == 0;
}

/* Where the bytes of a request are at each end. */
struct ends {
    unsigned char *local;
    void *description;
    uint64_t remote, key;
};

/* Start a request; what the provider has no room for now is tried again. */
static void start(const struct request *request, const struct ends *at)
{
    ssize_t status = -FI_EAGAIN;
    while (status == -FI_EAGAIN) {
        if (is(request, "put"))
            status = fi_write(endpoint, at->local, request->length, at->description, peer, at->remote, at->key, NULL);
        else if (is(request, "get"))
            status = fi_read(endpoint, at->local, request->length, at->description, peer, at->remote, at->key, NULL);
        else if (is(request, "send"))
            status = fi_tsend(endpoint, at->local, request->length, at->description, peer, TAG, NULL);
        else
            status = fi_trecv(endpoint, at->local, request->length, at->description, peer, TAG, 0, NULL);
        if (status == -FI_EAGAIN)
            progress();
    }
    must(status, request->name);
}

/* The owner's part of a request: memory is filled, the request runs, and every byte is compared. */
static struct verdict serve(int line, const struct request *request, unsigned char *memory, struct fid_mr *region)
{
    struct ends at = {.local = memory + request->offset, .description = fi_mr_desc(region)};
    struct request own = *request;
    bool takes_part = is(request, "send") || is(request, "receive");
    int completed = 0;
    memory_fill(memory, 0, MEMORY_BYTES, BEFORE);
    if (takes_part) {
        strcpy(own.name, is(request, "send") ? "receive" : "send");
        start(&own, &at);
    }
    tell(line, "", 1);
    await(line, &completed);
    while (completed < takes_part)
        completed += progress();
    return judge(memory, request, is(request, "put") || is(request, "send"));
}

static void own(const char *place)
{
    struct request request;
    unsigned char *memory = memory_map(place);
    struct fid_mr *region = registered(memory);
    int line = meet(NULL, "18600");
    connect_endpoint(line);
    /* Addresses count from zero where the provider says so. */
    uint64_t told[] = {info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)memory : 0, fi_mr_key(region)};
    tell(line, told, sizeof(told));
    while (hear(line, &request, sizeof(request))) {
        struct verdict verdict = serve(line, &request, memory, region);
        tell(line, &verdict, sizeof(verdict));
    }
    must(fi_close(&region->fid), "fi_close");
}

/* One request, compared at both ends. */
static bool ask(int line, const struct request *request, struct ends at)
{
    struct verdict verdict, here = {0};
    int completed = 0;
    memory_fill(at.local, request->offset, request->length, SENT);
    at.remote += request->offset;
    tell(line, request, sizeof(*request));
    await(line, &completed);
    double began = seconds();
    start(request, &at);
    while (completed < 1)
        completed += progress();
    double taken = seconds() - began;
    tell(line, "", 1);
    while (recv(line, &verdict, sizeof(verdict), MSG_DONTWAIT | MSG_PEEK) != sizeof(verdict))
        progress();
    must_hear(line, &verdict, sizeof(verdict));
    if (is(request, "get") || is(request, "receive"))
        memory_compare(at.local, request->offset, request->length, BEFORE, &here);
    return report(request, here.wrong ? &here : &verdict, taken);
}

/* All requests in turn; the exit status. */
static int ask_all(const char *host, char **texts, int count)
{
    struct request requests[count];
    uint64_t told[2];
    bool right = true;
    for (int i = 0; i < count; i++)
        requests[i] = request_of(texts[i], "put get send receive ");
    set_up(host, false);
    unsigned char *local = memory_map("host");
    struct fid_mr *region = registered(local);
    int line = meet(host, "18600");
    connect_endpoint(line);
    must_hear(line, told, sizeof(told));
    struct ends at = {local, fi_mr_desc(region), told[0], told[1]};
    for (int i = 0; i < count; i++)
        right = ask(line, &requests[i], at) && right;
    return right ? 0 : 1;
}

int main(int count, char **words)
{
    if (count > 3 && !strcmp(words[1], "to"))
        return ask_all(words[2], words + 3, count - 3);
    if (count != 4 || strcmp(words[1], "own"))
        stop("usage: %s own MEMORY ADDRESS, or %s to HOST REQUEST...; see the head of fabric-move.c.", words[0],
             words[0]);
    set_up(words[3], true);
    own(words[2]);
    return 0;
}
