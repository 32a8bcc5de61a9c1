/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bytes to and from another host's memory by UCX: put, get, messages by tag, an atomic operation.
 *
 *   ucx-move own MEMORY                      the memory's owner; MEMORY is "host" or a PCI address with p2pmem
 *   ucx-move to HOST REQUEST...              put:OFFSET:LENGTH get:… send:… receive:… add:OFFSET:8
 *
 * Nothing in it knows of PeerMR. The owner fills its memory before each request, and compares every byte after it.
 */
#include <ucp/api/ucp.h>

#include "../common.h"

enum { TAG = 77, COUNTER = 1000 };

static ucp_context_h context;
static ucp_worker_h worker;
static ucp_ep_h peer;
static unsigned char *memory;
static ucp_mem_h handle;

static void must(ucs_status_t status, const char *call)
{
    if (status != UCS_OK)
        stop("%s: %s", call, ucs_status_string(status));
}

/* Wait for an operation. */
static void finish(ucs_status_ptr_t request, const char *call)
{
    ucs_status_t status = UCS_INPROGRESS;
    if (!UCS_PTR_IS_PTR(request)) {
        must(UCS_PTR_STATUS(request), call);
        return;
    }
    while (status == UCS_INPROGRESS) {
        ucp_worker_progress(worker);
        status = ucp_request_check_status(request);
    }
    ucp_request_free(request);
    must(status, call);
}

static void set_up(void)
{
    ucp_params_t parameters = {
        .field_mask = UCP_PARAM_FIELD_FEATURES,
        .features = UCP_FEATURE_RMA | UCP_FEATURE_TAG | UCP_FEATURE_AMO64,
    };
    ucp_worker_params_t single = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE, .thread_mode = UCS_THREAD_MODE_SINGLE};
    must(ucp_init(&parameters, NULL, &context), "ucp_init");
    must(ucp_worker_create(context, &single, &worker), "ucp_worker_create");
}

/* Register the memory: what fails over p2pmem without PeerMR. */
static void map_memory(const char *place)
{
    memory = memory_map(place);
    ucp_mem_map_params_t mapping = {
        .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH,
        .address = memory, .length = MEMORY_BYTES};
    must(ucp_mem_map(context, &mapping, &handle), "ucp_mem_map");
}

/* Exchange the workers' addresses, and connect. */
static void connect_worker(int line)
{
    ucp_address_t *ours;
    size_t ours_length;
    uint64_t length;
    must(ucp_worker_get_address(worker, &ours, &ours_length), "ucp_worker_get_address");
    length = ours_length;
    tell(line, &length, sizeof(length));
    tell(line, ours, ours_length);
    must_hear(line, &length, sizeof(length));
    void *theirs = malloc(length);
    must_hear(line, theirs, length);
    ucp_ep_params_t parameters = {.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS, .address = theirs};
    must(ucp_ep_create(worker, &parameters, &peer), "ucp_ep_create");
    ucp_worker_release_address(worker, ours);
    free(theirs);
}

/* Wait until the other end says so over the connection; what it asks of us by UCX happens meanwhile. */
static void await(int line)
{
    char done;
    ssize_t heard;
    while ((heard = recv(line, &done, 1, MSG_DONTWAIT)) < 0)
        ucp_worker_progress(worker);
    if (heard == 0)
        stop("the other end has gone.");
}

static bool is(const struct request *request, const char *name)
{
    return strcmp(request->name, name) == 0;
}

/* The owner's part of a request: memory is filled, the request runs, and every byte is compared. */
static struct verdict serve(int line, const struct request *request)
{
    ucp_request_param_t ours = {.op_attr_mask = UCP_OP_ATTR_FIELD_MEMH, .memh = handle};
    unsigned char *part = memory + request->offset;
    ucs_status_ptr_t started = NULL;
    memory_fill(memory, 0, MEMORY_BYTES, BEFORE);
    if (is(request, "add"))
        memcpy(part, &(uint64_t){COUNTER}, 8);
    if (is(request, "send"))
        started = ucp_tag_recv_nbx(worker, part, request->length, TAG, -1, &ours);
    if (is(request, "receive"))
        started = ucp_tag_send_nbx(peer, part, request->length, TAG, &ours);
    tell(line, "", 1);
    finish(started, request->name);
    await(line);
    if (is(request, "add")) {
        if (memcmp(part, &(uint64_t){COUNTER + 1}, 8) != 0)
            return (struct verdict){8, request->offset};
        memory_fill(part, request->offset, 8, BEFORE);
    }
    return judge(memory, request, is(request, "put") || is(request, "send"));
}

static void own(const char *place, const char *port)
{
    struct request request;
    void *key;
    size_t key_length;
    map_memory(place);
    must(ucp_rkey_pack(context, handle, &key, &key_length), "ucp_rkey_pack");
    int line = meet(NULL, port);
    connect_worker(line);
    uint64_t told[] = {(uintptr_t)memory, key_length};
    tell(line, told, sizeof(told));
    tell(line, key, key_length);
    while (hear(line, &request, sizeof(request))) {
        struct verdict verdict = serve(line, &request);
        tell(line, &verdict, sizeof(verdict));
    }
    must(ucp_mem_unmap(context, handle), "ucp_mem_unmap");
}

/* Start what a request asks for; `local` is memory of this host. */
static ucs_status_ptr_t start(const struct request *request, unsigned char *local, uint64_t address, ucp_rkey_h key)
{
    static uint64_t one = 1;
    ucp_request_param_t plain = {0};
    if (is(request, "put"))
        return ucp_put_nbx(peer, local, request->length, address, key, &plain);
    if (is(request, "get"))
        return ucp_get_nbx(peer, local, request->length, address, key, &plain);
    if (is(request, "send"))
        return ucp_tag_send_nbx(peer, local, request->length, TAG, &plain);
    if (is(request, "receive"))
        return ucp_tag_recv_nbx(worker, local, request->length, TAG, -1, &plain);
    ucp_request_param_t fetching = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FIELD_REPLY_BUFFER,
        .datatype = ucp_dt_make_contig(8), .reply_buffer = local};
    return ucp_atomic_op_nbx(peer, UCP_ATOMIC_OP_ADD, &one, 1, address, key, &fetching);
}

/* One request, compared at both ends. */
static bool ask(int line, const struct request *request, uint64_t address, ucp_rkey_h key)
{
    static unsigned char local[MEMORY_BYTES];
    struct verdict verdict, here = {0};
    ucp_request_param_t plain = {0};
    bool fetches = is(request, "get") || is(request, "receive");
    memory_fill(local, request->offset, request->length, SENT);
    tell(line, request, sizeof(*request));
    await(line);
    double began = seconds();
    finish(start(request, local, address + request->offset, key), request->name);
    finish(ucp_worker_flush_nbx(worker, &plain), "ucp_worker_flush");
    double taken = seconds() - began;
    tell(line, "", 1);
    must_hear(line, &verdict, sizeof(verdict));
    if (fetches)
        memory_compare(local, request->offset, request->length, BEFORE, &here);
    if (is(request, "add") && memcmp(local, &(uint64_t){COUNTER}, 8) != 0)
        here = (struct verdict){8, request->offset};
    return report(request, here.wrong ? &here : &verdict, taken);
}

/* All requests in turn; the exit status. */
static int ask_all(const char *host, const char *port, char **texts, int count)
{
    struct request requests[count];
    ucp_rkey_h key;
    uint64_t told[2];
    bool right = true;
    for (int i = 0; i < count; i++) {
        requests[i] = request_of(texts[i], "put get send receive add ");
        if (is(&requests[i], "add") && (requests[i].length != 8 || requests[i].offset % 8))
            stop("\"%s\" is no addition: it has 8 bytes at a multiple of 8.", texts[i]);
    }
    int line = meet(host, port);
    connect_worker(line);
    must_hear(line, told, sizeof(told));
    void *packed = malloc(told[1]);
    must_hear(line, packed, told[1]);
    must(ucp_ep_rkey_unpack(peer, packed, &key), "ucp_ep_rkey_unpack");
    for (int i = 0; i < count; i++)
        right = ask(line, &requests[i], told[0], key) && right;
    ucp_rkey_destroy(key);
    free(packed);
    return right ? 0 : 1;
}

int main(int count, char **words)
{
    const char *port = getenv("PORT") ? getenv("PORT") : "18600";
    int status = 0;
    if (!(count == 3 && !strcmp(words[1], "own")) && !(count > 3 && !strcmp(words[1], "to")))
        stop("usage: %s own MEMORY, or %s to HOST REQUEST...; see the head of ucx-move.c.", words[0], words[0]);
    set_up();
    if (!strcmp(words[1], "own"))
        own(words[2], port);
    else
        status = ask_all(words[2], port, words + 3, count - 3);
    ucp_worker_destroy(worker);
    ucp_cleanup(context);
    return status;
}
