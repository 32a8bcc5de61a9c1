/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_VERBS_SHIM_H
#define PEERMR_VERBS_SHIM_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "runtime_shim.h"

/* verbs.h hides ibv_query_port behind a macro over an incomplete struct, which Swift cannot see through. */
static inline int peermr_query_port(struct ibv_context *context, uint8_t port,
                                    struct ibv_port_attr *attributes)
{
    return ibv_query_port(context, port, attributes);
}

/* The immediate sits in an anonymous union in network byte order: one place converts it. */
static inline uint32_t peermr_wc_immediate(const struct ibv_wc *wc)
{
    return be32toh(wc->imm_data);
}

static inline void peermr_wr_set_immediate(struct ibv_send_wr *wr, uint32_t immediate)
{
    wr->imm_data = htobe32(immediate);
}

#endif
