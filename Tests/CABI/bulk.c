/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

static struct peermr_part address_part(void *address, uint64_t length)
{
    struct peermr_part part = PEERMR_PART_INIT;
    part.kind = PEERMR_PART_ADDRESS;
    part.address = address;
    part.length = length;
    return part;
}

static struct peermr_part buffer_part(int fd, uint64_t offset, uint64_t length)
{
    struct peermr_part part = PEERMR_PART_INIT;
    part.kind = PEERMR_PART_DMABUF;
    part.fd = fd;
    part.offset = offset;
    part.length = length;
    return part;
}

void bulk_registration(void)
{
    struct machine machine = machine_open();
    struct ibv_pd *pds[2] = {machine.pd, ibv_alloc_pd(machine.context)};
    size_t bytes = 5 * 4096;
    uint8_t *memory = aligned_alloc(4096, bytes);
    memset(memory, 0x33, bytes);
    int fd = buffer_open(65536);
    /* Overlapping, and the same once more. */
    struct peermr_part parts[] = {address_part(memory, bytes), buffer_part(fd, 8192, 4096),
                                  address_part(memory + 100, 4096), address_part(memory, bytes)};
    struct peermr_bulk_options options = PEERMR_BULK_OPTIONS_INIT;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
    options.flags = PEERMR_BULK_POPULATE;
    options.threads = 4;
    options.chunk_bytes = 8192;
    struct peermr_bulk *bulk = NULL;
    WORKS(peermr_register_bulk(pds, 2, parts, 4, &options, &bulk));
    close(fd);
    struct peermr_bulk_info info = PEERMR_BULK_INFO_INIT;
    WORKS(peermr_bulk_info(bulk, &info));
    /* 3 chunks, 1, 1 and 3, in each domain. */
    CHECK(info.region_count == 16 && fake_verbs_live(FAKE_REGION) == 16);
    CHECK(info.register_nanoseconds > 0 && info.populate_nanoseconds > 0);
    struct peermr_keys keys = PEERMR_KEYS_INIT, next = PEERMR_KEYS_INIT;
    WORKS(peermr_bulk_keys(bulk, 0, 1, 8192, 8192, &keys));
    CHECK(keys.io_address == (uintptr_t)memory + 8192 && keys.length == 8192 && keys.alignment == 1);
    struct fake_coverage seen = fake_verbs_coverage(keys.rkey);
    CHECK(seen.is_live && seen.iova == keys.io_address && seen.byte_count == 8192);
    WORKS(peermr_bulk_keys(bulk, 3, 1, 8192, 8192, &next));
    CHECK(next.lkey != keys.lkey);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(bulk, 0, 0, 8191, 2, &keys));
    CHECK(says("peermr_bulk_piece") && keys.lkey == 0);
    WORKS(peermr_bulk_piece(bulk, 0, 0, 8191, 2, &keys));
    CHECK(keys.length == 1);
    WORKS(peermr_bulk_piece(bulk, 0, 0, 8192, 1, &next));
    CHECK(next.length == 1 && next.lkey != keys.lkey && next.io_address == keys.io_address + 1);
    WORKS(peermr_bulk_piece(bulk, 0, 0, bytes, 0, &keys));
    WORKS(peermr_bulk_keys(bulk, 1, 0, 0, 4096, &keys));
    CHECK(keys.io_address == 8192);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(bulk, 0, 0, bytes, 1, &keys));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_piece(bulk, 0, 0, 1, UINT64_MAX, &keys));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(bulk, 4, 0, 0, 1, &keys));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(bulk, 0, 2, 0, 1, &keys));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(bulk, SIZE_MAX, SIZE_MAX, 0, 1, &keys));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister((struct peermr_region *)bulk));
    WORKS(peermr_bulk_deregister(bulk));
    CHECK(fake_verbs_live(FAKE_REGION) == 0);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_deregister(bulk));
    WORKS(peermr_register_bulk(pds, 2, NULL, 0, NULL, &bulk));
    WORKS(peermr_bulk_deregister(bulk));
    free(memory);
    CHECK(ibv_dealloc_pd(pds[1]) == 0);
    machine_close(&machine);
}

void bulk_failures(void)
{
    struct machine machine = machine_open();
    int fd = buffer_open(65536);
    struct peermr_part parts[] = {address_part(machine.bytes, 8192), buffer_part(fd, 0, 16384),
                                  address_part(machine.bytes, 1)};
    struct peermr_bulk *bulk = NULL;
    struct peermr_bulk_options options = PEERMR_BULK_OPTIONS_INIT;
    options.chunk_bytes = 4096;
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        options.threads = threads;
        /* 3 regions by address, and 4 of the buffer. */
        for (unsigned failing = 0; failing < 7; failing++) {
            if (failing < 3)
                fake_verbs_fail("ibv_reg_mr", ENOMEM, failing);
            else
                fake_verbs_fail("ibv_reg_dmabuf_mr", ENOMEM, failing - 3);
            FAILS(PEERMR_RESOURCE_LIMIT, peermr_register_bulk(&machine.pd, 1, parts, 3, &options, &bulk));
            CHECK(bulk == NULL && fake_verbs_live(FAKE_REGION) == 0);
            fake_verbs_fail_no_more();
        }
    }
    struct peermr_error error = PEERMR_ERROR_INIT;
    WORKS(peermr_last_error(&error));
    CHECK(has(error.reason, "part 2 of 3") && error.error_number == ENOMEM);

    struct ibv_pd *none = NULL;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(NULL, 1, parts, 3, NULL, &bulk));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 0, parts, 3, NULL, &bulk));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&none, 1, parts, 3, NULL, &bulk));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, NULL, 3, NULL, &bulk));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, parts, SIZE_MAX, NULL, &bulk));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, parts, 3, NULL, NULL));
    struct peermr_bulk_options wrong[5] = {PEERMR_BULK_OPTIONS_INIT, PEERMR_BULK_OPTIONS_INIT, PEERMR_BULK_OPTIONS_INIT,
                                           PEERMR_BULK_OPTIONS_INIT, PEERMR_BULK_OPTIONS_INIT};
    wrong[0].flags = 2;
    wrong[1].reserved = 1;
    wrong[2].threads = 257;
    wrong[3].chunk_bytes = 4097;
    wrong[4].struct_size = 0;
    for (unsigned i = 0; i < 5; i++)
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, parts, 3, &wrong[i], &bulk));
    struct peermr_part odd[] = {parts[0], parts[0]};
    odd[1].length = 0;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    odd[1].length = UINT64_MAX;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    odd[1] = parts[0];
    odd[1].kind = (enum peermr_part_kind)4;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    odd[1] = parts[0];
    odd[1].struct_size = sizeof(odd[1]) + 8;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    odd[1] = parts[1];
    odd[1].offset = 65536;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    odd[1].kind = PEERMR_PART_P2PMEM;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&machine.pd, 1, odd, 2, NULL, &bulk));
    CHECK(fake_verbs_live(FAKE_REGION) == 0);
    close(fd);
    machine_close(&machine);
}
