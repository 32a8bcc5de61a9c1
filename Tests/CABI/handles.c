/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

static struct peermr_region *register_page(struct machine *machine)
{
    struct peermr_region *region = NULL;
    WORKS(peermr_register_address(machine->pd, machine->bytes, 4096, NULL, &region));
    CHECK(region != NULL);
    return region;
}

/* What no function takes for a region, a capability or p2pmem. */
static void refuse(void *handle)
{
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct ibv_mr *mr = (struct ibv_mr *)handle;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_info(handle, &info));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_prove(handle, 0, 0, &proof));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_detach(handle, &mr));
    CHECK(mr == NULL);
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister(handle));
    CHECK(peermr_region_mr(handle) == NULL && says("peermr_region"));
}

static void refuse_others(void *handle)
{
    struct peermr_answer answer = PEERMR_ANSWER_INIT;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    struct peermr_finding finding = PEERMR_FINDING_INIT;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_answer(handle, PEERMR_QUESTION_API, &answer));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_route(handle, &route));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_finding(handle, 0, &finding));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_free(handle));
    CHECK(peermr_capability_finding_count(handle) == 0 && says("peermr_capability"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_free(handle));
    CHECK(peermr_p2pmem_address(handle) == NULL && says("peermr_p2pmem"));
    CHECK(peermr_p2pmem_length(handle) == 0);
}

void handles_of_others(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = register_page(&machine);
    uintptr_t bits = (uintptr_t)region;
    void *none[] = {NULL, &machine, machine.bytes, machine.pd, (void *)1, (void *)-1, (void *)(bits + 1),
                    (void *)(bits + 16), (void *)(bits ^ UINTPTR_MAX)};
    for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++) {
        refuse(none[i]);
        refuse_others(none[i]);
    }
    refuse_others(region);
    CHECK(says("a struct peermr_region was passed for a struct peermr_p2pmem"));
    struct peermr_region *out = NULL;
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_register_p2pmem(machine.pd, (struct peermr_p2pmem *)region, NULL, &out));
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}

void handles_twice(void)
{
    struct machine machine = machine_open();
    struct peermr_region *first = register_page(&machine);
    WORKS(peermr_deregister(first));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_deregister(first));
    CHECK(says("freed before"));
    /* A later one never gets the handle of an earlier one, so that what is stale stays so. */
    for (int i = 0; i < 100; i++) {
        struct peermr_region *next = register_page(&machine);
        CHECK(next != first);
        refuse(first);
        WORKS(peermr_deregister(next));
    }
    machine_close(&machine);
}

void null_everywhere(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = register_page(&machine), *out = region;
    struct peermr_p2pmem *memory = NULL;
    struct peermr_capability *capability = NULL;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    struct ibv_pd empty;
    memset(&empty, 0, sizeof(empty));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(NULL, machine.bytes, 4096, NULL, &out));
    CHECK(out == NULL && says("ibv_pd"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(&empty, machine.bytes, 4096, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(machine.pd, NULL, 4096, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_address(machine.pd, machine.bytes, 4096, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(NULL, 0, 0, 4096, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_dmabuf(machine.pd, 0, 0, 4096, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_p2pmem(NULL, NULL, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_p2pmem(machine.pd, NULL, NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_p2pmem(machine.pd, NULL, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_allocate(NULL, 4096, &memory));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_allocate("0000:00:00.0", 4096, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_check(NULL, "0000:00:00.0", &capability));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_check(machine.context, NULL, &capability));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_check(machine.context, "0000:00:00.0", NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_route(NULL, "0000:00:00.0", &route));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_route("0000:00:00.0", NULL, &route));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_route("0000:00:00.0", "0000:00:00.0", NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_info(region, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_prove(region, 0, 0, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_detach(region, NULL));
    CHECK(peermr_region_mr(region) != NULL);
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}
