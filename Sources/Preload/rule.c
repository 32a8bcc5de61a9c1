/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Soft-RoCE moves right through on-demand paging (drivers/infiniband/sw/rxe/rxe_odp.c, Linux 6.15 to 7.3): the
 * part of a packet's bytes that goes to or comes from one entry is copied to or from the beginning of the page,
 * wherever in the page it belongs: each such part has to begin on a page. Atomic operations use the offset and are
 * right.
 */
#include "watch.h"

enum wrong watch_judge(const struct part *part)
{
    uint64_t in_packet = part->before % part->packet;
    if (part->length == 0)
        return RIGHT;
    if (part->address % part->page != 0)
        return BEGINS_INSIDE;
    if (part->has_header) {
        /* The header is written first, as a piece of its own. */
        return part->before < GRH_BYTES && part->before + part->length > GRH_BYTES ? BEHIND_HEADER : RIGHT;
    }
    if (in_packet + part->length <= part->packet)
        return RIGHT;
    if (part->packet % part->page != 0)
        return SMALL_PACKETS;
    return in_packet != 0 ? FOLLOWS_OTHERS : RIGHT;
}
