/* SPDX-License-Identifier: Apache-2.0 */
/* A call of each function of the header that fails, and one that works. One that is missing here fails a test. */
#include "entries.h"

#include "c_abi.h"

struct possessions have;

void *no_handle(void)
{
    static uintptr_t number = 64;
    return (void *)(number += 64);
}

static void fail_check(void)
{
    struct peermr_capability *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_check(have.machine.context, "no address", &out));
}

static void do_check(void)
{
    struct peermr_capability *out = NULL;
    if (!have.capability)
        return;
    WORKS(peermr_check(have.machine.context, some_function(), &out));
    WORKS(peermr_capability_free(out));
}

static void fail_answer(void)
{
    struct peermr_answer out = PEERMR_ANSWER_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_answer(no_handle(), PEERMR_QUESTION_API, &out));
}

static void do_answer(void)
{
    struct peermr_answer out = PEERMR_ANSWER_INIT;
    if (have.capability)
        WORKS(peermr_capability_answer(have.capability, PEERMR_QUESTION_API, &out));
}

static void fail_capability_route(void)
{
    struct peermr_route_result out = PEERMR_ROUTE_RESULT_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_route(no_handle(), &out));
}

static void do_capability_route(void)
{
    struct peermr_route_result out = PEERMR_ROUTE_RESULT_INIT;
    if (have.capability)
        WORKS(peermr_capability_route(have.capability, &out));
}

static void fail_finding_count(void)
{
    CHECK(peermr_capability_finding_count(no_handle()) == 0 && says("peermr_capability"));
}

static void do_finding_count(void)
{
    CHECK(!have.capability || peermr_capability_finding_count(have.capability) > 0);
}

static void fail_finding(void)
{
    struct peermr_finding out = PEERMR_FINDING_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_finding(no_handle(), 0, &out));
}

static void do_finding(void)
{
    struct peermr_finding out = PEERMR_FINDING_INIT;
    if (have.capability)
        WORKS(peermr_capability_finding(have.capability, 0, &out));
}

static void fail_capability_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_free(no_handle()));
}

static void fail_route(void)
{
    struct peermr_route_result out = PEERMR_ROUTE_RESULT_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_route("no address", "no address", &out));
}

static void do_route(void)
{
    struct peermr_route_result out = PEERMR_ROUTE_RESULT_INIT;
    if (have.capability)
        WORKS(peermr_route(some_function(), some_function(), &out));
}

static void fail_allocate(void)
{
    struct peermr_p2pmem *out;
    FAILS(PEERMR_NOT_FOUND, peermr_p2pmem_allocate("ffff:ff:1f.7", 1, &out));
}

static void fail_address(void)
{
    CHECK(peermr_p2pmem_address(no_handle()) == NULL && says("peermr_p2pmem"));
}

static void fail_length(void)
{
    CHECK(peermr_p2pmem_length(no_handle()) == 0 && says("peermr_p2pmem"));
}

static void fail_p2pmem_free(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_free(no_handle()));
}

static void fail_register_p2pmem(void)
{
    struct peermr_region *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_p2pmem(have.machine.pd, no_handle(), NULL, &out));
}

static void fail_register_dmabuf(void)
{
    struct peermr_region *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(have.machine.pd, -1, 0, 1, NULL, &out));
}

static void fail_register_address(void)
{
    struct peermr_region *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(have.machine.pd, NULL, 1, NULL, &out));
}

static void do_register_address(void)
{
    struct peermr_region *out = NULL;
    WORKS(peermr_register_address(have.machine.pd, have.machine.bytes, 1, NULL, &out));
    WORKS(peermr_deregister(out));
}

static struct peermr_memory *opened(void)
{
    struct peermr_memory *out = NULL;
    WORKS(peermr_memory_open("host:4096", &out));
    return out;
}

static void fail_memory_open(void)
{
    struct peermr_memory *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_open("nothing", &out));
}

static void do_memory(void)
{
    struct peermr_memory_info info = PEERMR_MEMORY_INFO_INIT;
    struct peermr_memory *memory = opened();
    struct peermr_region *region = NULL;
    uint8_t byte = 1;
    WORKS(peermr_memory_info(memory, &info));
    WORKS(peermr_memory_write(memory, 0, &byte, 1));
    WORKS(peermr_memory_read(memory, 0, &byte, 1));
    WORKS(peermr_register_memory(have.machine.pd, memory, 0, 0, NULL, &region));
    WORKS(peermr_deregister(region));
    WORKS(peermr_memory_close(memory));
}

static void fail_memory_info(void)
{
    struct peermr_memory_info out = PEERMR_MEMORY_INFO_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_info(no_handle(), &out));
}

static void fail_memory_dmabuf(void)
{
    int fd;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_dmabuf(no_handle(), &fd, NULL));
}

static void fail_memory_copy(void)
{
    uint8_t byte = 0;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_read(no_handle(), 0, &byte, 1));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_write(no_handle(), 0, &byte, 1));
}

static void fail_register_memory(void)
{
    struct peermr_region *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(have.machine.pd, no_handle(), 0, 0, NULL, &out));
}

static void fail_memory_close(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_close(no_handle()));
}

static struct peermr_bulk *bulk(void)
{
    struct peermr_part part = PEERMR_PART_INIT;
    struct peermr_bulk *out = NULL;
    part.kind = PEERMR_PART_ADDRESS;
    part.address = have.machine.bytes;
    part.length = 8192;
    WORKS(peermr_register_bulk(&have.machine.pd, 1, &part, 1, NULL, &out));
    return out;
}

static void fail_register_bulk(void)
{
    struct peermr_part part = PEERMR_PART_INIT;
    struct peermr_bulk *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_bulk(&have.machine.pd, 1, &part, 1, NULL, &out));
}

static void do_register_bulk(void)
{
    WORKS(peermr_bulk_deregister(bulk()));
}

static void fail_bulk_info(void)
{
    struct peermr_bulk_info out = PEERMR_BULK_INFO_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_info(no_handle(), &out));
}

static void do_bulk_info(void)
{
    struct peermr_bulk_info out = PEERMR_BULK_INFO_INIT;
    struct peermr_bulk *made = bulk();
    WORKS(peermr_bulk_info(made, &out));
    WORKS(peermr_bulk_deregister(made));
}

static void fail_bulk_keys(void)
{
    struct peermr_keys out = PEERMR_KEYS_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_keys(no_handle(), 0, 0, 0, 1, &out));
}

static void fail_bulk_piece(void)
{
    struct peermr_keys out = PEERMR_KEYS_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_piece(no_handle(), 0, 0, 0, 1, &out));
}

static void do_bulk_keys(void)
{
    struct peermr_keys out = PEERMR_KEYS_INIT;
    struct peermr_bulk *made = bulk();
    WORKS(peermr_bulk_keys(made, 0, 0, 100, 1000, &out));
    WORKS(peermr_bulk_piece(made, 0, 0, 100, 1000, &out));
    WORKS(peermr_bulk_deregister(made));
}

static void fail_bulk_deregister(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_bulk_deregister(no_handle()));
}

static void fail_mr(void)
{
    CHECK(peermr_region_mr(no_handle()) == NULL && says("peermr_region"));
}

static void do_mr(void)
{
    CHECK(peermr_region_mr(have.region) != NULL);
}

static void fail_info(void)
{
    struct peermr_region_info out = PEERMR_REGION_INFO_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_info(no_handle(), &out));
}

static void do_info(void)
{
    struct peermr_region_info out = PEERMR_REGION_INFO_INIT;
    WORKS(peermr_region_info(have.region, &out));
}

static void fail_detach(void)
{
    struct ibv_mr *out;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_detach(no_handle(), &out));
}

static void do_detach(void)
{
    struct peermr_region *region = NULL;
    struct ibv_mr *out = NULL;
    WORKS(peermr_register_address(have.machine.pd, have.machine.bytes, 1, NULL, &region));
    WORKS(peermr_region_detach(region, &out));
    CHECK(out && ibv_dereg_mr(out) == 0);
}

static void fail_prove(void)
{
    struct peermr_proof out = PEERMR_PROOF_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_prove(no_handle(), 0, 0, &out));
}

static void do_prove(void)
{
    struct peermr_proof out = PEERMR_PROOF_INIT;
    WORKS(peermr_prove(have.region, 100, 100, &out));
}

static void fail_deregister(void)
{
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister(no_handle()));
}

/* Its own failures are not recorded. */
static void fail_last_error(void)
{
    struct peermr_error out = {0};
    CHECK(peermr_last_error(NULL) == PEERMR_INVALID_ARGUMENT && peermr_last_error(&out) == PEERMR_INVALID_ARGUMENT);
}

static void do_last_error(void)
{
    struct peermr_error out = PEERMR_ERROR_INIT;
    WORKS(peermr_last_error(&out));
}

static void do_names(void)
{
    CHECK(peermr_version() && peermr_status_name(PEERMR_BUSY) && peermr_outcome_name(PEERMR_NO));
    CHECK(peermr_map_type_name(PEERMR_MAP_BUS_ADDRESS) && peermr_method_name(PEERMR_METHOD_DMABUF));
}

static const struct entry entries[] = {
    ENTRY(peermr_last_error, KEEPS, fail_last_error, do_last_error),
    ENTRY(peermr_version, KEEPS, NULL, do_names),
    ENTRY(peermr_status_name, KEEPS, NULL, do_names),
    ENTRY(peermr_outcome_name, KEEPS, NULL, do_names),
    ENTRY(peermr_map_type_name, KEEPS, NULL, do_names),
    ENTRY(peermr_method_name, KEEPS, NULL, do_names),
    ENTRY(peermr_check, ENDS, fail_check, do_check),
    ENTRY(peermr_capability_answer, ENDS, fail_answer, do_answer),
    ENTRY(peermr_capability_route, ENDS, fail_capability_route, do_capability_route),
    ENTRY(peermr_capability_finding_count, KEEPS, fail_finding_count, do_finding_count),
    ENTRY(peermr_capability_finding, ENDS, fail_finding, do_finding),
    ENTRY(peermr_capability_free, ENDS, fail_capability_free, do_check),
    ENTRY(peermr_route, ENDS, fail_route, do_route),
    ENTRY(peermr_p2pmem_allocate, ENDS, fail_allocate, NULL),
    ENTRY(peermr_p2pmem_address, KEEPS, fail_address, NULL),
    ENTRY(peermr_p2pmem_length, KEEPS, fail_length, NULL),
    ENTRY(peermr_p2pmem_free, ENDS, fail_p2pmem_free, NULL),
    ENTRY(peermr_register_p2pmem, ENDS, fail_register_p2pmem, NULL),
    ENTRY(peermr_register_dmabuf, ENDS, fail_register_dmabuf, NULL),
    ENTRY(peermr_register_address, ENDS, fail_register_address, do_register_address),
    ENTRY(peermr_memory_open, ENDS, fail_memory_open, do_memory),
    ENTRY(peermr_memory_info, ENDS, fail_memory_info, do_memory),
    ENTRY(peermr_memory_dmabuf, ENDS, fail_memory_dmabuf, NULL),
    ENTRY(peermr_memory_read, ENDS, fail_memory_copy, do_memory),
    ENTRY(peermr_memory_write, ENDS, fail_memory_copy, do_memory),
    ENTRY(peermr_register_memory, ENDS, fail_register_memory, do_memory),
    ENTRY(peermr_memory_close, ENDS, fail_memory_close, do_memory),
    ENTRY(peermr_register_bulk, ENDS, fail_register_bulk, do_register_bulk),
    ENTRY(peermr_bulk_info, ENDS, fail_bulk_info, do_bulk_info),
    ENTRY(peermr_bulk_keys, ENDS, fail_bulk_keys, do_bulk_keys),
    ENTRY(peermr_bulk_piece, ENDS, fail_bulk_piece, do_bulk_keys),
    ENTRY(peermr_bulk_deregister, ENDS, fail_bulk_deregister, do_register_bulk),
    ENTRY(peermr_region_mr, KEEPS, fail_mr, do_mr),
    ENTRY(peermr_region_info, ENDS, fail_info, do_info),
    ENTRY(peermr_region_detach, ENDS, fail_detach, do_detach),
    ENTRY(peermr_prove, ENDS, fail_prove, do_prove),
    ENTRY(peermr_deregister, ENDS, fail_deregister, do_register_address),
};

static const unsigned own_count = sizeof(entries) / sizeof(*entries);

const struct entry *entry_at(unsigned index)
{
    return index < own_count ? &entries[index] : &cache_entries[index - own_count];
}

unsigned c_abi_entry_count(void)
{
    return own_count + cache_entry_count;
}

const char *c_abi_entry_name(unsigned index)
{
    return index < c_abi_entry_count() ? entry_at(index)->name : "?";
}

int c_abi_entry_ends_texts(unsigned index)
{
    return index < c_abi_entry_count() && entry_at(index)->ends == ENDS;
}
