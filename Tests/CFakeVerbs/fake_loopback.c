/* SPDX-License-Identifier: Apache-2.0 */
/* A queue pair that is connected to itself, done by copying: where a test asks for it, writes and reads happen. */
#include "fake_state.h"

#include <string.h>

void fake_verbs_loop(int on)
{
    fake->loops = on != 0;
}

void fake_verbs_go_astray(uint64_t first, uint64_t count, int reading)
{
    fake->astray = (struct fake_astray){first, count, reading};
}

void fake_verbs_fail_transfer(uint32_t status, unsigned skip)
{
    fake->transfer_status = status;
    fake->transfer_skip = skip;
}

uint8_t *fake_place(uint32_t key, uint64_t address, uint64_t count)
{
    struct fake_mapping *mapping = key ? fake_mapping_of(key) : NULL;
    if (!mapping || !mapping->behind || address < mapping->iova || count > mapping->bytes
        || address - mapping->iova > mapping->bytes - count)
        return NULL;
    return mapping->behind + (address - mapping->iova);
}

/* Bytes that go astray leave what was there as it is. */
static void copy(uint8_t *to, const uint8_t *from, uint64_t count, uint64_t done, int reading)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = done + i;
        bool is_lost = fake->astray.count && fake->astray.reading == reading && at >= fake->astray.first
            && at < fake->astray.first + fake->astray.count;
        if (!is_lost)
            to[i] = from[i];
    }
}

void fake_loop(const struct ibv_send_wr *work)
{
    if (!fake->loops)
        return;
    uint32_t status = IBV_WC_SUCCESS;
    bool reading = work->opcode == IBV_WR_RDMA_READ;
    if (fake->transfer_status) {
        if (fake->transfer_skip == 0)
            status = fake->transfer_status;
        else
            fake->transfer_skip--;
    }
    uint64_t done = 0;
    for (int i = 0; status == IBV_WC_SUCCESS && i < work->num_sge; i++) {
        const struct ibv_sge *entry = &work->sg_list[i];
        uint8_t *here = fake_place(entry->lkey, entry->addr, entry->length);
        uint8_t *there = fake_place(work->wr.rdma.rkey, work->wr.rdma.remote_addr + done, entry->length);
        if (!here || !there)
            status = here ? IBV_WC_REM_ACCESS_ERR : IBV_WC_LOC_PROT_ERR;
        else if (reading)
            copy(here, there, entry->length, done, 1);
        else
            copy(there, here, entry->length, done, 0);
        done += entry->length;
    }
    fake_verbs_complete(work->wr_id, status, reading ? IBV_WC_RDMA_READ : IBV_WC_RDMA_WRITE, (uint32_t)done, 0, 0, 0);
}
