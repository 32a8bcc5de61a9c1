/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libpeermr.so.0 for the tests of the preload library. FAKE_PEERMR says what it takes every memory for: p2pmem,
 * pages (p2pmem of a device that wants whole pages), dmabuf, host, or fail. It registers by ibv_reg_mr, as the real one
 * does, and overwrites errno wherever it can.
 */
#include <infiniband/verbs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "peermr.h"

struct peermr_region {
    struct ibv_mr *mr;
    struct peermr_options options;
};

static _Atomic unsigned registered, deregistered, detached;
static struct peermr_options seen;

unsigned fake_peermr_registered(void) { return registered; }
unsigned fake_peermr_deregistered(void) { return deregistered; }
unsigned fake_peermr_detached(void) { return detached; }
struct peermr_options fake_peermr_options(void) { return seen; }

static int is(const char *what)
{
    const char *memory = getenv("FAKE_PEERMR");
    return memory && strcmp(memory, what) == 0;
}

peermr_status peermr_register_address(struct ibv_pd *pd, void *address, uint64_t length,
                                      const struct peermr_options *options, struct peermr_region **out)
{
    registered++;
    seen = *options;
    if (!is("fail")) {
        *out = calloc(1, sizeof(**out));
        (*out)->options = *options;
        (*out)->mr = ibv_reg_mr(pd, address, length, 0x5a);
        if ((*out)->mr && is("dmabuf")) {
            (*out)->mr->addr = (void *)0x5000;
            (*out)->mr->length = length + 4096;
        }
    }
    errno = EDOM;
    return is("fail") ? PEERMR_NOT_SUPPORTED : PEERMR_OK;
}

peermr_status peermr_region_info(const struct peermr_region *region, struct peermr_region_info *out)
{
    errno = EDOM;
    out->kind = is("host") ? PEERMR_KIND_HOST : is("dmabuf") ? PEERMR_KIND_DMABUF : PEERMR_KIND_P2PMEM;
    out->method = is("dmabuf") ? PEERMR_METHOD_DMABUF : PEERMR_METHOD_ON_DEMAND;
    out->io_address = region->options.flags ? region->options.io_address : (uintptr_t)region->mr->addr;
    out->alignment = is("pages") ? 4096 : is("large pages") ? 65536 : 1;
    out->path_mtu = is("pages") || is("large pages") ? 4096 : 0;
    out->provider_bdf = is("p2pmem") ? "0000:01:00.0" : "";
    return PEERMR_OK;
}

peermr_status peermr_region_detach(struct peermr_region *region, struct ibv_mr **out)
{
    errno = EDOM;
    detached++;
    *out = region->mr;
    free(region);
    return PEERMR_OK;
}

peermr_status peermr_deregister(struct peermr_region *region)
{
    deregistered++;
    ibv_dereg_mr(region->mr);
    free(region);
    errno = EDOM;
    return PEERMR_OK;
}

peermr_status peermr_last_error(struct peermr_error *out)
{
    out->message = "the fake refuses";
    return PEERMR_OK;
}

const char *peermr_method_name(enum peermr_method method)
{
    return method == PEERMR_METHOD_DMABUF ? "dmaBuf" : "onDemand";
}

/* What a program that uses libpeermr itself comes to: a registration of its own that fails. */
peermr_status peermr_register_p2pmem(struct ibv_pd *pd, struct peermr_p2pmem *memory,
                                     const struct peermr_options *options, struct peermr_region **out)
{
    (void)options;
    *out = NULL;
    return ibv_reg_mr(pd, memory, 4096, 1) ? PEERMR_OK : PEERMR_NOT_SUPPORTED;
}
