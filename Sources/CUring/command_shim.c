/* SPDX-License-Identifier: Apache-2.0 */
#include "command_shim.h"
#include "uring_ring.h"

#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>

/* The opcodes of the NVM command set (NVM Express NVM Command Set Specification, chapter 3). */
enum { NVM_FLUSH = 0x00, NVM_WRITE = 0x01, NVM_READ = 0x02 };

int peermr_uring_open_commands(unsigned entries, struct peermr_uring **ring)
{
    return peermr_uring_open_with(entries, IORING_SETUP_SQE128 | IORING_SETUP_CQE32, ring);
}

static int command(struct peermr_uring *ring, int fd, const struct nvme_uring_cmd *wanted, uint64_t tag)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry)
        return -EBUSY;
    /* The entry is twice as long as its type says: the command lies in the second half, too. */
    memset(entry, 0, 2 * sizeof(*entry));
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = fd;
    entry->cmd_op = NVME_URING_CMD_IO;
    entry->user_data = tag;
    memcpy(entry->cmd, wanted, sizeof(*wanted));
    return 0;
}

static int transfer(struct peermr_uring *ring, int fd, uint8_t opcode, uint32_t space, uintptr_t address,
                    uint32_t bytes, uint64_t first_block, uint32_t blocks, uint64_t tag)
{
    struct nvme_uring_cmd wanted = {
        .opcode = opcode,
        .nsid = space,
        .addr = address,
        .data_len = bytes,
        .cdw10 = (uint32_t)first_block,
        .cdw11 = (uint32_t)(first_block >> 32),
        /* The number of blocks counts from 0. */
        .cdw12 = blocks - 1,
    };
    return command(ring, fd, &wanted, tag);
}

int peermr_uring_nvme_write(struct peermr_uring *ring, int fd, uint32_t space, uintptr_t address, uint32_t bytes,
                            uint64_t first_block, uint32_t blocks, uint64_t tag)
{
    return transfer(ring, fd, NVM_WRITE, space, address, bytes, first_block, blocks, tag);
}

int peermr_uring_nvme_read(struct peermr_uring *ring, int fd, uint32_t space, uintptr_t address, uint32_t bytes,
                           uint64_t first_block, uint32_t blocks, uint64_t tag)
{
    return transfer(ring, fd, NVM_READ, space, address, bytes, first_block, blocks, tag);
}

int peermr_uring_nvme_flush(struct peermr_uring *ring, int fd, uint32_t space, uint64_t tag)
{
    struct nvme_uring_cmd wanted = { .opcode = NVM_FLUSH, .nsid = space };
    return command(ring, fd, &wanted, tag);
}

int peermr_nvme_identify(int fd, uint32_t space, void *into)
{
    enum { IDENTIFY = 0x06, DATA_BYTES = 4096 };
    struct nvme_admin_cmd wanted = {
        .opcode = IDENTIFY, .nsid = space, .addr = (uintptr_t)into, .data_len = DATA_BYTES,
    };
    int result = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &wanted);
    return result < 0 ? -errno : result;
}

int peermr_nvme_namespace(int fd)
{
    return ioctl(fd, NVME_IOCTL_ID);
}
