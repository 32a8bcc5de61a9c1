/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

void status_names(void)
{
    for (int status = PEERMR_OK; status <= PEERMR_SYSTEM; status++) {
        const char *name = peermr_status_name((peermr_status)status);
        CHECK(strncmp(name, "PEERMR_", 7) == 0 && name[7] != '?');
        for (int other = PEERMR_OK; other < status; other++)
            CHECK(strcmp(name, peermr_status_name((peermr_status)other)) != 0);
    }
    CHECK(strcmp(peermr_status_name(PEERMR_NOT_FOUND), "PEERMR_NOT_FOUND") == 0);
    CHECK(strcmp(peermr_status_name((peermr_status)13), "PEERMR_?") == 0);
    CHECK(strcmp(peermr_status_name((peermr_status)0x7fffffff), "PEERMR_?") == 0);
    CHECK(strcmp(peermr_outcome_name(PEERMR_YES), "yes") == 0);
    CHECK(strcmp(peermr_outcome_name((enum peermr_outcome)77), "?") == 0);
    CHECK(strcmp(peermr_map_type_name(PEERMR_MAP_BUS_ADDRESS), "busAddress") == 0);
    CHECK(strcmp(peermr_map_type_name((enum peermr_map_type)77), "?") == 0);
    CHECK(strcmp(peermr_method_name(PEERMR_METHOD_ON_DEMAND), "onDemand") == 0);
    CHECK(strcmp(peermr_method_name((enum peermr_method)0), "?") == 0);
    char version[32];
    snprintf(version, sizeof(version), "%d.%d.%d", PEERMR_VERSION_MAJOR, PEERMR_VERSION_MINOR, PEERMR_VERSION_PATCH);
    CHECK(strcmp(peermr_version(), version) == 0);
}

void last_error_stays(void)
{
    struct machine machine = machine_open();
    struct peermr_region *region = NULL;
    fake_verbs_fail("ibv_reg_mr", ENOMEM, 0);
    FAILS(PEERMR_RESOURCE_LIMIT, peermr_register_address(machine.pd, machine.bytes, 4096, NULL, &region));
    fake_verbs_fail_no_more();
    CHECK(region == NULL);
    struct peermr_error error = PEERMR_ERROR_INIT;
    WORKS(peermr_last_error(&error));
    CHECK(error.error_number == ENOMEM && strcmp(error.call, "ibv_reg_mr") == 0);
    CHECK(has(error.message, error.reason) && has(error.message, error.remedy) && says("fake0"));
    WORKS(peermr_register_address(machine.pd, machine.bytes, 4096, NULL, &region));
    WORKS(peermr_deregister(region));
    struct peermr_error again = PEERMR_ERROR_INIT;
    WORKS(peermr_last_error(&again));
    CHECK(again.status == PEERMR_RESOURCE_LIMIT && again.error_number == ENOMEM);
    CHECK(peermr_last_error(NULL) == PEERMR_INVALID_ARGUMENT);
    WORKS(peermr_last_error(&again));
    CHECK(again.status == PEERMR_RESOURCE_LIMIT);
    machine_close(&machine);
}

void struct_sizes(void)
{
    struct {
        struct peermr_error error;
        uint8_t newer[40];
    } big;
    size_t wrong[] = {0, 1, sizeof(size_t), sizeof(struct peermr_error) - 1, 4097, SIZE_MAX};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        memset(&big, 0xee, sizeof(big));
        big.error.struct_size = wrong[i];
        CHECK(peermr_last_error(&big.error) == PEERMR_INVALID_ARGUMENT);
        CHECK(big.newer[0] == 0xee && ((uint8_t *)&big.error)[sizeof(size_t)] == 0xee);
    }
    memset(&big, 0xee, sizeof(big));
    big.error.struct_size = sizeof(big) - 1;
    WORKS(peermr_last_error(&big.error));
    CHECK(big.newer[0] == 0 && big.newer[38] == 0 && big.newer[39] == 0xee);
    CHECK(big.error.struct_size == sizeof(big) - 1);

    struct machine machine = machine_open();
    struct {
        struct peermr_options options;
        uint64_t newer;
    } options = {PEERMR_OPTIONS_INIT, 0};
    struct peermr_region *region = NULL;
    options.options.struct_size = sizeof(options);
    WORKS(peermr_register_address(machine.pd, machine.bytes, 4096, &options.options, &region));
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    /* A program that was built before a member was added is served without it, one with less is not. */
    info.struct_size = offsetof(struct peermr_region_info, owner);
    info.owner = (enum peermr_owner)0x5a;
    WORKS(peermr_region_info(region, &info));
    CHECK(info.bounce_reason[0] == 0 && info.owner == (enum peermr_owner)0x5a);
    info.struct_size--;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_region_info(region, &info));
    CHECK(says("sizeof(struct peermr_region_info)"));
    WORKS(peermr_deregister(region));
    options.newer = UINT64_C(1) << 63;
    FAILS(PEERMR_INVALID_ARGUMENT,
          peermr_register_address(machine.pd, machine.bytes, 4096, &options.options, &region));
    CHECK(region == NULL && says("does not know"));
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        options.options.struct_size = wrong[i] < sizeof(options.options) ? wrong[i] : sizeof(options);
        FAILS(PEERMR_INVALID_ARGUMENT,
              peermr_register_address(machine.pd, machine.bytes, 4096, &options.options, &region));
    }
    machine_close(&machine);
}
