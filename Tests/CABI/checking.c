/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

void bus_addresses(void)
{
    struct machine machine = machine_open();
    struct peermr_capability *capability = NULL;
    struct peermr_p2pmem *memory = NULL;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    /* Nothing behind the 0 byte is read, and of a text without an end no more than an address has. */
    char *endless = malloc(17);
    memset(endless, '0', 17);
    const char *none[] = {"", " ", "0", "mlx5_0", "0000:00:00", "0000:00:00.8", "0000:00:20.0", "00000000:00:00.0x",
                          "0000:00:00.0 ", "\xff\xfe\x80", "0000:00:0\xc3.0", "../../etc/passwd", "%s%n%s%n",
                          "0000:00:00.0/../..", "\n\t\x1b[31m", endless};
    for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++) {
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_check(machine.context, none[i], &capability));
        CHECK(capability == NULL && says("lspci -D") && !says("\x1b"));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_route(none[i], none[i], &route));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_allocate(none[i], 4096, &memory));
    }
    free(endless);
    FAILS(PEERMR_NOT_FOUND, peermr_check(machine.context, "fffffff0:ff:1f.7", &capability));
    FAILS(PEERMR_NOT_FOUND, peermr_route("ffff:ff:1f.7", "ffff:ff:1f.7", &route));
    CHECK(route.reason == NULL && route.distance == 0);
    FAILS(PEERMR_NOT_FOUND, peermr_p2pmem_allocate("ffff:ff:1f.7", 4096, &memory));
    if (some_function()[0])
        FAILS(PEERMR_NOT_FOUND, peermr_p2pmem_allocate(some_function(), 4096, &memory));
    machine_close(&machine);
}

void routes(void)
{
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    char one[64];
    snprintf(one, sizeof(one), "%s", some_function());
    if (!one[0])
        return;
    WORKS(peermr_route(one, one, &route));
    CHECK(route.outcome <= PEERMR_NO && route.map_type <= PEERMR_MAP_NOT_SUPPORTED);
    CHECK(route.reason && route.reason[0] && route.remedy);
}

void four_answers(void)
{
    struct machine machine = machine_open();
    struct peermr_capability *capability = NULL;
    const char *function = some_function();
    if (function[0]) {
        WORKS(peermr_check(machine.context, function, &capability));
        for (int question = PEERMR_QUESTION_API; question <= PEERMR_QUESTION_DATA; question++) {
            struct peermr_answer answer = PEERMR_ANSWER_INIT;
            WORKS(peermr_capability_answer(capability, (enum peermr_question)question, &answer));
            CHECK(answer.reason && answer.reason[0] && answer.remedy && answer.outcome <= PEERMR_NO);
            CHECK(question != PEERMR_QUESTION_DATA || answer.outcome == PEERMR_UNKNOWN);
        }
        struct peermr_answer answer = PEERMR_ANSWER_INIT;
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_answer(capability, (enum peermr_question)4, &answer));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_answer(capability, (enum peermr_question)-1, &answer));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_answer(capability, PEERMR_QUESTION_API, NULL));
        struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
        WORKS(peermr_capability_route(capability, &route));
        CHECK(route.reason && route.reason[0]);
        uint64_t count = peermr_capability_finding_count(capability);
        CHECK(count > 0);
        for (uint64_t i = 0; i < count; i++) {
            struct peermr_finding finding = PEERMR_FINDING_INIT;
            WORKS(peermr_capability_finding(capability, i, &finding));
            CHECK(finding.name[0] && finding.detail[0] && finding.device && finding.remedy);
            CHECK(finding.code != PEERMR_FINDING_OTHER);
        }
        struct peermr_finding finding = PEERMR_FINDING_INIT;
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_finding(capability, count, &finding));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_finding(capability, UINT64_MAX, &finding));
        WORKS(peermr_capability_free(capability));
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_capability_free(capability));
    }
    machine_close(&machine);
}

void proofs(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    WORKS(peermr_register_address(machine.pd, machine.bytes, 8192, &options, &region));
    fake_verbs_loop(1);
    WORKS(peermr_prove(region, 1000, 100, &proof));
    CHECK(proof.state == PEERMR_PROOF_PROVEN && proof.into_memory == PEERMR_PROOF_PROVEN);
    CHECK(proof.out_of_memory == PEERMR_PROOF_PROVEN && proof.first_difference == -1 && proof.length == 2000);
    CHECK(proof.reason[0] && proof.nanoseconds > 0);
    CHECK(machine.bytes[0] == 0x5a && machine.bytes[8191] == 0x5a);
    /* The random byte is the old one now and then. */
    fake_verbs_go_astray(7, 1, 0);
    for (int tries = 0; tries < 4 && proof.state != PEERMR_PROOF_DISPROVEN; tries++)
        WORKS(peermr_prove(region, 0, 0, &proof));
    CHECK(proof.state == PEERMR_PROOF_DISPROVEN && proof.first_difference == 7);
    CHECK(has(proof.reason, "did not arrive"));
    fake_verbs_fail("ibv_create_qp", ENOMEM, 0);
    FAILS(PEERMR_RESOURCE_LIMIT, peermr_prove(region, 0, 0, &proof));
    CHECK(proof.reason == NULL && proof.length == 0);
    WORKS(peermr_deregister(region));
    machine_close(&machine);
}

/* Registers a page of a dma-buf; 1 where the device has been asked about descriptor -1 for that. */
static int asks(struct ibv_pd *pd, int fd)
{
    struct peermr_region *region = NULL;
    unsigned before = fake_verbs_buffer_probes();
    WORKS(peermr_register_dmabuf(pd, fd, 0, 4096, NULL, &region));
    WORKS(peermr_deregister(region));
    return (int)(fake_verbs_buffer_probes() - before);
}

void remembered_devices(void)
{
    int node = fake_verbs_memory_file(), other_node = fake_verbs_memory_file(), fd = fake_verbs_memory_file();
    CHECK(ftruncate(fd, 8192) == 0);
    fake_verbs_declare_buffer(fd);
    fake_verbs_set_buffer_probe(EBADF);
    fake_verbs_set_command_file(node);
    for (int round = 0; round < 3; round++) {
        struct machine machine = machine_open();
        CHECK(asks(machine.pd, fd) == (round == 0));
        CHECK(asks(machine.pd, fd) == 0);
        machine_close(&machine);
    }
    /* A device that went and came back has another node, and is asked anew. */
    fake_verbs_set_command_file(other_node);
    struct machine machine = machine_open();
    CHECK(asks(machine.pd, fd) == 1 && asks(machine.pd, fd) == 0);
    machine_close(&machine);
    /* Without a node nothing is known of the device the next time. */
    fake_verbs_set_command_file(-1);
    machine = machine_open();
    CHECK(asks(machine.pd, fd) == 1 && asks(machine.pd, fd) == 1);
    machine_close(&machine);
    close(node);
    close(other_node);
    close(fd);
}
