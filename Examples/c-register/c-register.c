/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-register: another PCI device's memory as a memory region of an RDMA device, from C.
 *
 *     make
 *     ./c-register mlx5_0 0000:01:00.0        an RDMA device; a function that publishes p2pmem, such as an NVMe drive
 *
 * It asks first whether it can work, registers 1 MiB, makes the NIC prove that bytes arrive, and frees everything.
 * The ibv_pd is the application's own, and so is the ibv_mr as long as the region lives.
 */
#include <infiniband/verbs.h>
#include <peermr.h>
#include <stdio.h>
#include <string.h>

#define BYTES (UINT64_C(1) << 20)

/* What went wrong, why, and what to do about it: one line. */
static int explain(void)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    peermr_last_error(&error);
    fprintf(stderr, "c-register: %s: %s\n", peermr_status_name(error.status), error.message);
    return 1;
}

/* Four questions, each with an answer of its own. A no of the route is final; a yes proves no data yet. */
static int check(struct ibv_context *context, const char *provider)
{
    static const char *const questions[] = {"api", "exporter", "route", "data"};
    struct peermr_capability *capability;
    if (peermr_check(context, provider, &capability) != PEERMR_OK)
        return explain();
    for (int i = PEERMR_QUESTION_API; i <= PEERMR_QUESTION_DATA; i++) {
        struct peermr_answer answer = PEERMR_ANSWER_INIT;
        if (peermr_capability_answer(capability, (enum peermr_question)i, &answer) == PEERMR_OK)
            printf("%-9s %-8s %s%s%s\n", questions[i], peermr_outcome_name(answer.outcome), answer.reason,
                   answer.remedy[0] ? "; " : "", answer.remedy);
    }
    return peermr_capability_free(capability) == PEERMR_OK ? 0 : explain();
}

/* Here an application would post work requests: the keys of mr, addresses from info.io_address on. */
static int use(struct peermr_region *region)
{
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct ibv_mr *mr = peermr_region_mr(region);
    if (!mr || peermr_region_info(region, &info) != PEERMR_OK)
        return explain();
    printf("region    %s, because %s\n", peermr_method_name(info.method), info.reason);
    printf("          lkey 0x%x, rkey 0x%x, I/O address 0x%llx, %llu bytes\n", mr->lkey, mr->rkey,
           (unsigned long long)info.io_address, (unsigned long long)info.length);
    if (info.path_mtu)
        printf("          only transfers on multiples of %llu bytes, at a path MTU of %u\n",
               (unsigned long long)info.alignment, info.path_mtu);
    if (peermr_prove(region, 0, 0, &proof) != PEERMR_OK)
        return explain();
    printf("proof: %s\n", proof.reason);
    return proof.state == PEERMR_PROOF_PROVEN ? 0 : 1;
}

static int register_memory(struct ibv_pd *pd, const char *provider)
{
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    struct peermr_p2pmem *memory;
    struct peermr_region *region;
    int status;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    if (peermr_p2pmem_allocate(provider, BYTES, &memory) != PEERMR_OK)
        return explain();
    if (peermr_register_p2pmem(pd, memory, &options, &region) != PEERMR_OK) {
        status = explain();
    } else {
        status = use(region);
        if (peermr_deregister(region) != PEERMR_OK)
            status = explain();
    }
    return peermr_p2pmem_free(memory) == PEERMR_OK ? status : explain();
}

static struct ibv_context *open_device(const char *name)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_context *context = NULL;
    for (int i = 0; list && list[i] && !context; i++)
        if (strcmp(ibv_get_device_name(list[i]), name) == 0)
            context = ibv_open_device(list[i]);
    if (list)
        ibv_free_device_list(list);
    return context;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: c-register RDMA_DEVICE PCI_ADDRESS\n");
        return 2;
    }
    struct ibv_context *context = open_device(words[1]);
    struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;
    int status = 1;
    if (!pd)
        fprintf(stderr, "c-register: %s cannot be opened: see rdma link, and ibv_devices\n", words[1]);
    else if (check(context, words[2]) == 0)
        status = register_memory(pd, words[2]);
    if (pd)
        ibv_dealloc_pd(pd);
    if (context)
        ibv_close_device(context);
    /* What was printed is written at the end only, when the disk may be full. */
    if (fflush(stdout) != 0) {
        perror("c-register: output");
        return 1;
    }
    return status;
}
