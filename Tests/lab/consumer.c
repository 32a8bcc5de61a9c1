/* SPDX-License-Identifier: Apache-2.0 */
/* Registers p2pmem by the installed library, proves it, and lets go of it: consumer RDMA_DEVICE PCI_ADDRESS */
#include <infiniband/verbs.h>
#include <peermr.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *doing)
{
    struct peermr_error error = PEERMR_ERROR_INIT;

    peermr_last_error(&error);
    fprintf(stderr, "%s: %s\n", doing, error.message);
    return 1;
}

static int use(struct ibv_pd *pd, const char *provider)
{
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct peermr_p2pmem *memory;
    struct peermr_region *region;
    int status = 0;

    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    if (peermr_p2pmem_allocate(provider, 1 << 20, &memory) != PEERMR_OK)
        return failed("allocate");
    if (peermr_register_p2pmem(pd, memory, &options, &region) != PEERMR_OK) {
        failed("register");
        peermr_p2pmem_free(memory);
        return 1;
    }
    if (peermr_region_info(region, &info) != PEERMR_OK)
        status = failed("describe");
    else
        printf("%s %s, lkey %s\n", peermr_method_name(info.method), info.provider_bdf,
               peermr_region_mr(region)->lkey == info.lkey ? "right" : "wrong");
    if (peermr_prove(region, 0, 0, &proof) != PEERMR_OK)
        status = failed("prove");
    else
        printf("proven %d: %s\n", proof.state == PEERMR_PROOF_PROVEN, proof.reason);
    if (peermr_deregister(region) != PEERMR_OK)
        status = failed("deregister");
    if (peermr_p2pmem_free(memory) != PEERMR_OK)
        status = failed("free");
    return status;
}

int main(int count, char **words)
{
    int number, index, status = 1;
    struct ibv_device **devices = ibv_get_device_list(&number);

    for (index = 0; count == 3 && devices && index < number; index++) {
        struct ibv_context *context;
        struct ibv_pd *pd;

        if (strcmp(ibv_get_device_name(devices[index]), words[1]) != 0)
            continue;
        context = ibv_open_device(devices[index]);
        pd = context ? ibv_alloc_pd(context) : NULL;
        if (pd)
            status = use(pd, words[2]);
        if (pd && ibv_dealloc_pd(pd) != 0)
            status = 3;
        if (context)
            ibv_close_device(context);
    }
    if (devices)
        ibv_free_device_list(devices);
    return status;
}
