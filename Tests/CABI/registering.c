/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <unistd.h>

void addresses(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    WORKS(peermr_register_address(machine.pd, machine.bytes + 100, 5000, &options, &region));
    CHECK(fake_verbs_registered_address() == (uintptr_t)machine.bytes + 100);
    CHECK(fake_verbs_registered_bytes() == 5000 && fake_verbs_registered_access() == (uint32_t)options.access);
    struct ibv_mr *mr = peermr_region_mr(region);
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    WORKS(peermr_region_info(region, &info));
    CHECK(mr && mr->pd == machine.pd && mr->lkey == info.lkey && mr->rkey == info.rkey);
    CHECK(info.kind == PEERMR_KIND_HOST && info.method == PEERMR_METHOD_PINNED && info.bounced == 0);
    CHECK(info.io_address == (uintptr_t)machine.bytes + 100 && info.length == 5000);
    CHECK(info.address == machine.bytes + 100 && info.alignment == 1 && info.path_mtu == 0);
    CHECK(info.slack_before == 0 && info.slack_after == 0 && info.nanoseconds > 0);
    CHECK(info.reason[0] && !info.bounce_reason[0] && !info.provider_bdf[0]);
    CHECK(info.owner == PEERMR_OWNER_HOST);
    WORKS(peermr_deregister(region));
    CHECK(machine.bytes[0] == 0x5a && machine.bytes[8191] == 0x5a);
    WORKS(peermr_register_address(machine.pd, machine.bytes, 8192, NULL, &region));
    CHECK(fake_verbs_registered_access() == IBV_ACCESS_LOCAL_WRITE);
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}

void options_misused(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    struct peermr_options options[] = {PEERMR_OPTIONS_INIT, PEERMR_OPTIONS_INIT, PEERMR_OPTIONS_INIT,
                                       PEERMR_OPTIONS_INIT, PEERMR_OPTIONS_INIT, PEERMR_OPTIONS_INIT};
    options[0].fallback = (enum peermr_fallback)2;
    options[1].flags = 2;
    options[2].flags = UINT32_MAX;
    options[3].reserved = 1;
    options[4].flags = PEERMR_OPTION_IO_ADDRESS; /* not for host memory */
    options[4].fallback = PEERMR_FALLBACK_BOUNCE;
    options[5].provider_bdf = "nothing";
    for (unsigned i = 0; i < sizeof(options) / sizeof(*options); i++)
        FAILS(PEERMR_INVALID_ARGUMENT,
              peermr_register_address(machine.pd, machine.bytes, 4096, &options[i], &region));
    machine_close(&machine);
}

void dmabufs(void)
{
    struct machine machine = machine_open();
    int fd = buffer_open(65536);
    struct peermr_region *region = NULL;
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    WORKS(peermr_register_dmabuf(machine.pd, fd, 4096 + 100, 300, NULL, &region));
    close(fd);
    WORKS(peermr_region_info(region, &info));
    CHECK(info.kind == PEERMR_KIND_DMABUF && info.method == PEERMR_METHOD_DMABUF);
    CHECK(info.io_address == 4196 && info.length == 300 && info.address == NULL);
    CHECK(info.slack_before == 100 && info.slack_after == 4096 - 400);
    CHECK(info.owner == PEERMR_OWNER_UNKNOWN); /* the file has no exporter */
    CHECK(peermr_region_mr(region)->lkey == info.lkey);
    WORKS(peermr_deregister(region));
    fd = buffer_open(65536);
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.flags = PEERMR_OPTION_IO_ADDRESS;
    options.io_address = UINT64_C(0x7000000000) + 100;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
    WORKS(peermr_register_dmabuf(machine.pd, fd, 100, 4096, &options, &region));
    CHECK(fake_verbs_last_buffer().iova == UINT64_C(0x7000000000));
    WORKS(peermr_region_info(region, &info));
    CHECK(info.io_address == options.io_address);
    WORKS(peermr_deregister(region));
    options.io_address = UINT64_MAX - 4095 + 100; /* the last page: the second would be beyond all addresses */
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, fd, 100, 4096, &options, &region));
    options.io_address = 101;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, fd, 100, 4096, &options, &region));
    close(fd);
    machine_close(&machine);
}

void dmabufs_misused(void)
{
    struct machine machine = machine_open();
    int fd = buffer_open(8192), file = fake_verbs_memory_file();
    struct peermr_region *region = NULL;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    int none[] = {-1, INT32_MIN, INT32_MAX, 1 << 20, file};
    for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++)
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, none[i], 0, 4096, NULL, &region));
    uint64_t parts[][2] = {{0, 0}, {0, 8193}, {8192, 1}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX},
                           {4096, 4097}};
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        FAILS(PEERMR_INVALID_ARGUMENT,
              peermr_register_dmabuf(machine.pd, fd, parts[i][0], parts[i][1], NULL, &region));
    options.access |= IBV_ACCESS_ON_DEMAND;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, fd, 0, 4096, &options, &region));
    options = (struct peermr_options)PEERMR_OPTIONS_INIT;
    options.provider_bdf = "ffff:ff:1f.7";
    FAILS(PEERMR_NOT_FOUND, peermr_register_dmabuf(machine.pd, fd, 0, 4096, &options, &region));
    fake_verbs_fail("ibv_reg_dmabuf_mr", EOPNOTSUPP, 0);
    FAILS(PEERMR_NOT_SUPPORTED, peermr_register_dmabuf(machine.pd, fd, 0, 4096, NULL, &region));
    CHECK(region == NULL);
    close(fd);
    close(file);
    machine_close(&machine);
}

void bounces(void)
{
    struct machine machine = machine_open();
    int fd = buffer_open(65536);
    struct peermr_region *region = NULL;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    fake_verbs_fail("ibv_reg_dmabuf_mr", EOPNOTSUPP, 0);
    options.fallback = PEERMR_FALLBACK_BOUNCE;
    WORKS(peermr_register_dmabuf(machine.pd, fd, 0, 5000, &options, &region));
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    WORKS(peermr_region_info(region, &info));
    CHECK(info.bounced == 1 && info.kind == PEERMR_KIND_HOST && info.method == PEERMR_METHOD_PINNED);
    CHECK(has(info.bounce_reason, "ibv_reg_dmabuf_mr") && info.length >= 5000);
    CHECK(info.address && info.io_address == (uintptr_t)info.address);
    for (int i = 0; info.address && i < 5000; i++)
        CHECK(((uint8_t *)info.address)[i] == 0);
    struct ibv_mr *mr = NULL;
    FAILS(PEERMR_NOT_SUPPORTED, peermr_region_detach(region, &mr));
    CHECK(mr == NULL && peermr_region_mr(region) != NULL);
    WORKS(peermr_deregister(region));
    /* What is wrong in the call is refused all the same, and so is what has no memory to fall back to. */
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, fd, 0, 1 << 20, &options, &region));
    fake_verbs_fail("ibv_reg_mr", ENOMEM, 0);
    FAILS(PEERMR_RESOURCE_LIMIT, peermr_register_address(machine.pd, machine.bytes, 4096, &options, &region));
    close(fd);
    machine_close(&machine);
}

void detaching(void)
{
    struct machine machine = machine_open();
    int fd = buffer_open(65536);
    struct peermr_region *regions[2] = {NULL, NULL};
    WORKS(peermr_register_address(machine.pd, machine.bytes, 4096, NULL, &regions[0]));
    WORKS(peermr_register_dmabuf(machine.pd, fd, 0, 4096, NULL, &regions[1]));
    for (int i = 0; i < 2; i++) {
        struct ibv_mr *mr = NULL, *same = peermr_region_mr(regions[i]);
        WORKS(peermr_region_detach(regions[i], &mr));
        CHECK(mr && mr == same && fake_verbs_live(FAKE_REGION) == 2 - i);
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister(regions[i]));
        CHECK(ibv_dereg_mr(mr) == 0);
    }
    close(fd);
    machine_close(&machine);
}

void refused_deregistration(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    WORKS(peermr_register_address(machine.pd, machine.bytes, 4096, NULL, &region));
    fake_verbs_fail("ibv_dereg_mr", EBUSY, 0);
    FAILS(PEERMR_BUSY, peermr_deregister(region));
    CHECK(says("memory window") && peermr_region_mr(region) != NULL);
    fake_verbs_fail("ibv_dereg_mr", EIO, 0);
    FAILS(PEERMR_SYSTEM, peermr_deregister(region));
    fake_verbs_fail_no_more();
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}

void lengths(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    struct peermr_p2pmem *memory = NULL;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    uint64_t absurd[] = {0, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 4095};
    const char *function = some_function();
    for (unsigned i = 0; i < sizeof(absurd) / sizeof(*absurd); i++) {
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(machine.pd, machine.bytes, absurd[i], NULL, &region));
        if (function[0])
            FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_allocate(function, absurd[i], &memory));
    }
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_register_address(machine.pd, (void *)(UINTPTR_MAX - 4095), 8192, NULL, &region));
    WORKS(peermr_register_address(machine.pd, machine.bytes, 4096, NULL, &region));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_prove(region, (UINT64_C(16) << 20) + 1, 0, &proof));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_prove(region, UINT64_MAX, UINT32_MAX, &proof));
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}
