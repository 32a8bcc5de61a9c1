/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for NVIDIA's libcuda.so.1: a GPU whose memory is the host's. For forcing errors and counting objects, and
 * in the lab for the way of a buffer through the library: there /dev/udmabuf makes a real dma-buf of that memory.
 *
 *   FAKE_CUDA_DEVICES=2                  how many GPUs there are; 1 where it is not set
 *   FAKE_CUDA_ATTRIBUTE=0                what the attribute of dma-bufs says; 1 where it is not set
 *   FAKE_CUDA_FAIL=cuMemAlloc_v2=2       a function, and what it is to return
 *   FAKE_CUDA_BUS=00000000:3B:00.0       the GPU's PCI address, as CUDA writes it
 *   FAKE_CUDA_NO_DESCRIPTOR=1            the export succeeds and gives -1
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201 };
enum { DMA_BUF_SUPPORTED = 124, SYNC_MEMOPS = 6, DMA_BUF_FD = 1 };

static struct {
    int allocations, contexts, pushed, wrong;
    int file;
    char *memory;
    size_t bytes;
} state;

static int forced(const char *name)
{
    const char *fail = getenv("FAKE_CUDA_FAIL");
    size_t length = strlen(name);
    if (fail && strncmp(fail, name, length) == 0 && fail[length] == '=')
        return atoi(fail + length + 1);
    return SUCCESS;
}

#define FORCED()                       \
    do {                               \
        int result = forced(__func__); \
        if (result)                    \
            return result;             \
    } while (0)

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

/* What is alive: allocations, held contexts, contexts on the stack, and calls without a context. */
int fake_cuda_live(int which)
{
    int counts[] = {state.allocations, state.contexts, state.pushed, state.wrong};
    return counts[which];
}

int cuInit(unsigned flags)
{
    FORCED();
    return flags == 0 ? SUCCESS : INVALID_VALUE;
}

int cuGetErrorName(int error, const char **name)
{
    switch (error) {
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; return SUCCESS;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return SUCCESS;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; return SUCCESS;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; return SUCCESS;
    case 801: *name = "CUDA_ERROR_NOT_SUPPORTED"; return SUCCESS;
    default: *name = NULL; return INVALID_VALUE;
    }
}

int cuDeviceGetCount(int *count)
{
    FORCED();
    *count = number("FAKE_CUDA_DEVICES", 1);
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal)
{
    FORCED();
    /* No program may take the one number for the other. */
    *device = ordinal + 40;
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    FORCED();
    if (attribute != DMA_BUF_SUPPORTED || device < 40)
        return INVALID_VALUE;
    *value = number("FAKE_CUDA_ATTRIBUTE", 1);
    return SUCCESS;
}

int cuDeviceGetPCIBusId(char *text, int length, int device)
{
    FORCED();
    const char *bus = getenv("FAKE_CUDA_BUS");
    strncpy(text, bus ? bus : "0000:3B:00.0", (size_t)length);
    return device < 40 ? INVALID_VALUE : SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    FORCED();
    *context = &state;
    state.contexts++;
    return device < 40 ? INVALID_VALUE : SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    state.contexts--;
    return device < 40 ? INVALID_VALUE : SUCCESS;
}

int cuCtxPushCurrent_v2(void *context)
{
    FORCED();
    if (context != &state)
        return INVALID_CONTEXT;
    state.pushed++;
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context)
{
    *context = &state;
    state.pushed--;
    return SUCCESS;
}

static int in_context(void)
{
    if (state.pushed > 0)
        return 1;
    state.wrong++;
    return 0;
}

int cuCtxSynchronize(void)
{
    FORCED();
    return in_context() ? SUCCESS : INVALID_CONTEXT;
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes)
{
    FORCED();
    if (!in_context())
        return INVALID_CONTEXT;
    state.file = memfd_create("fake-gpu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (state.file < 0 || ftruncate(state.file, (off_t)bytes) != 0)
        return OUT_OF_MEMORY;
    fcntl(state.file, F_ADD_SEALS, F_SEAL_SHRINK);
    state.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, state.file, 0);
    state.bytes = bytes;
    state.allocations++;
    *address = (uint64_t)(uintptr_t)state.memory;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t address)
{
    if (!in_context() || (uintptr_t)address != (uintptr_t)state.memory)
        return INVALID_VALUE;
    munmap(state.memory, state.bytes);
    close(state.file);
    state.allocations--;
    return SUCCESS;
}

int cuPointerSetAttribute(const void *value, int attribute, uint64_t address)
{
    FORCED();
    return attribute == SYNC_MEMOPS && *(const unsigned *)value == 1 && address ? SUCCESS : INVALID_VALUE;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes)
{
    FORCED();
    if (!in_context())
        return INVALID_CONTEXT;
    memcpy((void *)(uintptr_t)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes)
{
    FORCED();
    if (!in_context())
        return INVALID_CONTEXT;
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return SUCCESS;
}

#ifndef FAKE_CUDA_OLD
int cuMemGetHandleForAddressRange(void *handle, uint64_t address, size_t bytes, int type, unsigned long long flags)
{
    FORCED();
    if (!in_context())
        return INVALID_CONTEXT;
    if (type != DMA_BUF_FD || flags != 0 || (uintptr_t)address != (uintptr_t)state.memory || bytes != state.bytes)
        return INVALID_VALUE;
    struct udmabuf_create create = {.memfd = (uint32_t)state.file, .size = bytes};
    int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
    int fd = device < 0 ? dup(state.file) : ioctl(device, UDMABUF_CREATE, &create);
    if (device >= 0)
        close(device);
    if (number("FAKE_CUDA_NO_DESCRIPTOR", 0)) {
        close(fd);
        fd = -1;
    }
    *(int *)handle = fd;
    return SUCCESS;
}
#endif
