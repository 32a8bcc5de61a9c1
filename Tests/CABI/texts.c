/* SPDX-License-Identifier: Apache-2.0 */
/* What each function of the header does to texts that the program has of peermr_last_error(), of a route or a proof. */
#include <stdlib.h>

#include "c_abi.h"
#include "entries.h"

/* Texts of the library, and what they said. */
struct held {
    const char *texts[16];
    char *copies[16];
    unsigned count;
};

static void hold(struct held *held, const char *text)
{
    CHECK(text && held->count < 16);
    held->texts[held->count] = text;
    held->copies[held->count++] = strdup(text);
}

static void hold_last_error(struct held *held)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    WORKS(peermr_last_error(&error));
    const char *texts[] = {error.call, error.reason, error.remedy, error.message};
    for (unsigned i = 0; i < 4; i++)
        hold(held, texts[i]);
}

/* Overwrites what has been freed, as far as malloc gives it out again. Under valgrind a look at it is enough. */
static void overwrite_freed(void)
{
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++)
        if ((blocks[i] = malloc(16 * (i + 1))))
            memset(blocks[i], 0xee, 16 * (i + 1));
    for (unsigned i = 0; i < 64; i++)
        free(blocks[i]);
}

static int are_unchanged(const struct held *held)
{
    int same = 1;
    overwrite_freed();
    for (unsigned i = 0; i < held->count; i++)
        same &= strcmp(held->texts[i], held->copies[i]) == 0;
    return same;
}

static void drop(struct held *held)
{
    for (unsigned i = 0; i < held->count; i++)
        free(held->copies[i]);
    held->count = 0;
}

static void fail_to_register(void)
{
    struct peermr_region *out;
    fake_verbs_fail("ibv_reg_mr", ENOMEM, 0);
    FAILS(PEERMR_RESOURCE_LIMIT, peermr_register_address(have.machine.pd, have.machine.bytes, 4096, NULL, &out));
    fake_verbs_fail_no_more();
}

/* Texts of a failure, and of a route or a proof, whose texts take each other's place. */
static void hold_all(struct held *held)
{
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    fail_to_register();
    if (have.capability) {
        WORKS(peermr_route(some_function(), some_function(), &route));
        hold(held, route.reason);
        hold(held, route.remedy);
    } else {
        WORKS(peermr_prove(have.region, 100, 100, &proof));
        hold(held, proof.reason);
    }
    hold_last_error(held);
}

static void keep_texts(unsigned index)
{
    struct held held = {.count = 0};
    hold_all(&held);
    if (entry_at(index)->works)
        entry_at(index)->works();
    CHECK(are_unchanged(&held));
    for (int round = 0; entry_at(index)->fails && round < 2; round++) {
        entry_at(index)->fails();
        CHECK(are_unchanged(&held));
        hold_last_error(&held);
    }
    if (entry_at(index)->works)
        entry_at(index)->works();
    CHECK(are_unchanged(&held));
    drop(&held);
}

static void record_a_failure(unsigned index)
{
    struct held held = {.count = 0};
    fail_to_register();
    hold_last_error(&held);
    entry_at(index)->fails();
    CHECK(!says(held.copies[1]));
    drop(&held);
    hold_last_error(&held);
    if (entry_at(index)->works)
        entry_at(index)->works();
    /* What a call that succeeds does not change is the failure: the texts themselves may be others. */
    CHECK(says(held.copies[1]));
    drop(&held);
}

void every_entry(void)
{
    have.machine = machine_open();
    have.region = NULL;
    have.capability = NULL;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    options.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    WORKS(peermr_register_address(have.machine.pd, have.machine.bytes, 4096, &options, &have.region));
    fake_verbs_loop(1);
    WORKS(peermr_cache_create(NULL, &have.cache));
    WORKS(peermr_arena_create(have.machine.bytes, 8192, &have.arena));
    WORKS(peermr_request_arena(have.cache, have.machine.pd, have.arena, NULL, &have.request));
    if (some_function()[0])
        WORKS(peermr_check(have.machine.context, some_function(), &have.capability));
    for (unsigned i = 0; i < c_abi_entry_count(); i++)
        entry_at(i)->ends == ENDS ? record_a_failure(i) : keep_texts(i);
    if (have.capability)
        WORKS(peermr_capability_free(have.capability));
    WORKS(peermr_request_free(have.request));
    WORKS(peermr_cache_free(have.cache));
    WORKS(peermr_arena_free(have.arena));
    WORKS(peermr_deregister(have.region));
    machine_close(&have.machine);
}

/* The same sentences again and again are kept once, and for as long. */
void texts_without_end(void)
{
    struct held held = {.count = 0};
    CHECK(peermr_region_mr(NULL) == NULL);
    hold_last_error(&held);
    for (int i = 0; i < 1000; i++) {
        CHECK(peermr_region_mr(NULL) == NULL && peermr_p2pmem_length(NULL) == 0);
        struct peermr_error error = PEERMR_ERROR_INIT;
        WORKS(peermr_last_error(&error));
    }
    CHECK(are_unchanged(&held));
    drop(&held);
}
