/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvme-format /dev/ngXnY: the formats that the namespace can have, one a line: bytes of a block, and of its metadata.
 * nvme-format /dev/ngXnY INDEX: formats it so, with the metadata in a buffer of its own. All its data is lost.
 */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int count, char **words)
{
    static uint8_t data[4096] __attribute__((aligned(4096)));
    int fd = count > 1 ? open(words[1], O_RDWR) : -1;
    int space = fd < 0 ? -1 : ioctl(fd, NVME_IOCTL_ID);
    if (space < 0)
        return perror("nvme-format"), 1;
    struct nvme_admin_cmd identify = {
        .opcode = 0x06, .nsid = (uint32_t)space, .addr = (uintptr_t)data, .data_len = sizeof(data)};
    struct nvme_admin_cmd format = {.opcode = 0x80, .nsid = (uint32_t)space, .timeout_ms = 60000};
    if (count > 2) {
        format.cdw10 = (uint32_t)atoi(words[2]);
        int result = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &format);
        return result ? fprintf(stderr, "nvme-format: status %d\n", result), 1 : 0;
    }
    if (ioctl(fd, NVME_IOCTL_ADMIN_CMD, &identify) != 0)
        return perror("nvme-format"), 1;
    for (int i = 0; i <= data[25]; i++) {
        const uint8_t *entry = data + 128 + 4 * i;
        printf("%lu %u\n", 1ul << entry[2], entry[0] | entry[1] << 8);
    }
    return 0;
}
