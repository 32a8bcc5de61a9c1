/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

void opened_memory(void)
{
    struct machine machine = machine_open();
    struct peermr_memory *memory = NULL;
    struct peermr_memory_info info = PEERMR_MEMORY_INFO_INIT;
    struct peermr_region *region = NULL, *part = NULL;
    struct peermr_region_info told = PEERMR_REGION_INFO_INIT;
    struct ibv_mr *mr = NULL;
    uint8_t bytes[300], found[300];
    int fd = 0;
    WORKS(peermr_memory_open("host:64K", &memory));
    WORKS(peermr_memory_info(memory, &info));
    CHECK(info.kind == PEERMR_KIND_HOST && info.owner == PEERMR_OWNER_HOST && info.length == 65536);
    CHECK(info.address != NULL && info.has_dmabuf == 0 && info.reserved == 0);
    CHECK(!info.provider_bdf[0] && !info.exporter[0] && strcmp(info.specification, "host:65536") == 0);
    memset(bytes, 0x6c, sizeof(bytes));
    WORKS(peermr_memory_write(memory, 100, bytes, sizeof(bytes)));
    CHECK(memcmp((uint8_t *)info.address + 100, bytes, sizeof(bytes)) == 0);
    WORKS(peermr_memory_read(memory, 100, found, sizeof(found)));
    CHECK(memcmp(found, bytes, sizeof(bytes)) == 0);
    FAILS(PEERMR_NOT_SUPPORTED, peermr_memory_dmabuf(memory, &fd, NULL));
    CHECK(fd == -1 && says("no dma-buf"));
    WORKS(peermr_register_memory(machine.pd, memory, 0, 0, NULL, &region));
    CHECK(fake_verbs_registered_address() == (uintptr_t)info.address && fake_verbs_registered_bytes() == 65536);
    WORKS(peermr_register_memory(machine.pd, memory, 4096, 100, NULL, &part));
    CHECK(fake_verbs_registered_address() == (uintptr_t)info.address + 4096 && fake_verbs_registered_bytes() == 100);
    WORKS(peermr_region_info(part, &told));
    CHECK(told.kind == PEERMR_KIND_HOST && told.length == 100 && told.address == (uint8_t *)info.address + 4096);
    FAILS(PEERMR_NOT_SUPPORTED, peermr_region_detach(part, &mr));
    FAILS(PEERMR_BUSY, peermr_memory_close(memory));
    CHECK(says("deregister"));
    WORKS(peermr_deregister(region));
    FAILS(PEERMR_BUSY, peermr_memory_close(memory));
    WORKS(peermr_deregister(part));
    WORKS(peermr_memory_close(memory));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_close(memory));
    CHECK(says("freed before"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_info(memory, &info));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(machine.pd, memory, 0, 0, NULL, &region));
    CHECK(region == NULL);
    machine_close(&machine);
}

void opened_buffers(void)
{
    struct machine machine = machine_open();
    struct peermr_memory *memory = NULL;
    struct peermr_memory_info info = PEERMR_MEMORY_INFO_INIT;
    struct peermr_region *region = NULL;
    struct peermr_region_info told = PEERMR_REGION_INFO_INIT;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    char text[64];
    uint64_t offset = 1;
    int fd = buffer_open(65536), second = -1;
    snprintf(text, sizeof(text), "fd:%d:8K:16K", fd);
    WORKS(peermr_memory_open(text, &memory));
    close(fd); /* the library has its own */
    WORKS(peermr_memory_info(memory, &info));
    CHECK(info.kind == PEERMR_KIND_DMABUF && info.length == 16384 && info.address == NULL && info.has_dmabuf == 1);
    CHECK(has(info.specification, ":8192:16384"));
    WORKS(peermr_memory_dmabuf(memory, &second, &offset));
    CHECK(second >= 0 && offset == 8192 && (fcntl(second, F_GETFD) & FD_CLOEXEC));
    CHECK(lseek(second, 0, SEEK_END) == 65536);
    WORKS(peermr_register_memory(machine.pd, memory, 4096, 0, NULL, &region));
    WORKS(peermr_region_info(region, &told));
    CHECK(told.kind == PEERMR_KIND_DMABUF && told.length == 12288 && told.io_address == 12288);
    CHECK(fake_verbs_last_buffer().offset == 12288);
    WORKS(peermr_deregister(region));
    options.flags = PEERMR_OPTION_IO_ADDRESS;
    options.io_address = UINT64_C(0x7000000000);
    options.provider_bdf = some_function()[0] ? some_function() : NULL;
    WORKS(peermr_register_memory(machine.pd, memory, 0, 4096, &options, &region));
    WORKS(peermr_region_info(region, &told));
    CHECK(told.io_address == options.io_address);
    CHECK(strcmp(told.provider_bdf, options.provider_bdf ? options.provider_bdf : "") == 0);
    FAILS(PEERMR_BUSY, peermr_memory_close(memory));
    WORKS(peermr_deregister(region));
    WORKS(peermr_memory_close(memory));
    CHECK(fcntl(second, F_GETFD) >= 0 && close(second) == 0);
    machine_close(&machine);
}

void opened_misused(void)
{
    struct machine machine = machine_open();
    struct peermr_memory *memory = NULL, *out = (struct peermr_memory *)&machine;
    struct peermr_region *region = NULL;
    struct peermr_memory_info info = PEERMR_MEMORY_INFO_INIT;
    uint8_t byte = 0;
    static const char *wrong[] = {"", "host", "host:", "host:0", "host:x", "host:4K:4K", "nothing:4K", "fd:", "fd:-1",
                                  "fd:0:1", "p2pmem:zz:4K", "vfio:0000:00:00.0", "vfio:0000:00:00.0:9", "host:4K\n"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct peermr_error error = PEERMR_ERROR_INIT;
        out = (struct peermr_memory *)&machine;
        FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_open(wrong[i], &out));
        CHECK(out == NULL);
        WORKS(peermr_last_error(&error));
        CHECK(error.reason[0] && error.remedy[0]);
    }
    FAILS(PEERMR_NOT_FOUND, peermr_memory_open("p2pmem:ffff:ff:1f.7:4K", &out));
    FAILS(PEERMR_NOT_SUPPORTED, peermr_memory_open("nic:4K", &out));
    CHECK(says("peermr_memory_open() is given none"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_open(NULL, &out));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_open("host:4K", NULL));
    WORKS(peermr_memory_open("host:4K", &memory));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_info(memory, NULL));
    info.struct_size = 8;
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_info(memory, &info));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_dmabuf(memory, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_read(memory, 4096, &byte, 1));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_read(memory, UINT64_MAX, &byte, UINT64_MAX));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_write(memory, 0, NULL, 1));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_write(memory, 1, &byte, 4096));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(machine.pd, memory, 4096, 0, NULL, &region));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(machine.pd, memory, 0, 4097, NULL, &region));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(machine.pd, memory, UINT64_MAX, 2, NULL, &region));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(NULL, memory, 0, 0, NULL, &region));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_register_memory(machine.pd, memory, 0, 0, NULL, NULL));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_p2pmem_free((struct peermr_p2pmem *)memory));
    CHECK(says("a struct peermr_memory was passed for a struct peermr_p2pmem"));
    FAILS(PEERMR_INVALID_ARGUMENT, peermr_memory_close(NULL));
    WORKS(peermr_memory_close(memory));
    machine_close(&machine);
}
