/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens memory by its specification in plain C, registers all of it and a range, and proves the region:
 *
 *     memory_program RDMA_DEVICE SPECIFICATION...
 *
 * A line for each specification: "ok" with what was found, or "failed" with the status and the sentence.
 */
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <peermr.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failed(const char *specification)
{
    struct peermr_error error = PEERMR_ERROR_INIT;

    peermr_last_error(&error);
    printf("failed %s: %s: %s\n", specification, peermr_status_name(error.status), error.message);
    return 1;
}

static int use(struct ibv_pd *pd, const char *specification)
{
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    struct peermr_memory_info info = PEERMR_MEMORY_INFO_INIT;
    struct peermr_region_info told = PEERMR_REGION_INFO_INIT;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct peermr_memory *memory;
    struct peermr_region *region, *part;
    char bytes[64], found[64];
    int fd = -1, status = 0;

    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    if (peermr_memory_open(specification, &memory) != PEERMR_OK)
        return failed(specification);
    if (peermr_memory_info(memory, &info) != PEERMR_OK)
        status = failed(specification);
    memset(bytes, 0x6d, sizeof(bytes));
    if (peermr_memory_write(memory, 4096, bytes, sizeof(bytes)) != PEERMR_OK
        || peermr_memory_read(memory, 4096, found, sizeof(found)) != PEERMR_OK)
        status = failed(specification);
    else if (memcmp(bytes, found, sizeof(bytes)) != 0)
        status = printf("failed %s: other bytes were read\n", specification);
    if (info.has_dmabuf && (peermr_memory_dmabuf(memory, &fd, NULL) != PEERMR_OK || fcntl(fd, F_GETFD) < 0))
        status = failed(specification);
    if (fd >= 0)
        close(fd);
    if (peermr_register_memory(pd, memory, 0, 0, &options, &region) != PEERMR_OK) {
        status = failed(specification);
    } else {
        if (peermr_register_memory(pd, memory, 4096, 4096, &options, &part) != PEERMR_OK)
            status = failed(specification);
        else if (peermr_deregister(part) != PEERMR_OK)
            status = failed(specification);
        if (peermr_region_info(region, &told) != PEERMR_OK || peermr_prove(region, 4096, 0, &proof) != PEERMR_OK)
            status = failed(specification);
        else if (!status)
            printf("ok %s: %s, %s, kind %d, owner %d, provider %s, exporter %s, proof %d\n", specification,
                   info.specification, peermr_method_name(told.method), info.kind, info.owner,
                   info.provider_bdf[0] ? info.provider_bdf : "none", info.exporter[0] ? info.exporter : "none",
                   proof.state);
        if (peermr_memory_close(memory) != PEERMR_BUSY)
            status = printf("failed %s: it could be closed below a region\n", specification);
        if (peermr_deregister(region) != PEERMR_OK)
            status = failed(specification);
    }
    if (peermr_memory_close(memory) != PEERMR_OK)
        status = failed(specification);
    return status != 0;
}

int main(int count, char **words)
{
    int number = 0, status = 2, index, word;
    struct ibv_device **devices = ibv_get_device_list(&number);

    for (index = 0; count > 2 && devices && index < number; index++) {
        struct ibv_context *context;
        struct ibv_pd *pd;

        if (strcmp(ibv_get_device_name(devices[index]), words[1]) != 0)
            continue;
        context = ibv_open_device(devices[index]);
        pd = context ? ibv_alloc_pd(context) : NULL;
        status = !pd;
        for (word = 2; pd && word < count; word++)
            status |= use(pd, words[word]);
        if (pd && ibv_dealloc_pd(pd) != 0)
            status = 3;
        if (context)
            ibv_close_device(context);
    }
    if (devices)
        ibv_free_device_list(devices);
    return status;
}
