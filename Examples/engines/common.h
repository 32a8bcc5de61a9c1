/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engines' programs share: memory of the host or of a drive, known bytes in it, and a TCP connection by which
 * the two ends agree. The memory's owner compares every byte by its own mapping, whatever the engine reports.
 */
#ifndef ENGINES_COMMON_H
#define ENGINES_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY_BYTES = 2 << 20, PATIENCE = 10 };

/* One sentence on standard error, and the end. */
__attribute__((noreturn, format(printf, 1, 2))) static void stop(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Memory: "host", or the PCI address of a device that publishes p2pmem. */
static inline unsigned char *memory_map(const char *place)
{
    char path[128];
    void *base;
    int fd = -1;
    if (strcmp(place, "host") == 0) {
        base = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else {
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate", place);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            stop("%s cannot be opened: %s; name a device with p2pmem by its PCI address, or \"host\".", path,
                 strerror(errno));
        base = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (base == MAP_FAILED)
        stop("2 MiB of %s cannot be mapped: %s.", place, strerror(errno));
    if (fd >= 0)
        close(fd);
    return base;
}

/* The byte at `place` of the bytes called `seed`: no page is like another, and none like its neighbors' shift. */
static inline unsigned char known(uint64_t place, unsigned seed)
{
    uint64_t word = (place >> 3) * 0x9e3779b97f4a7c15u + seed * 0xc2b2ae3d27d4eb4fu;
    word ^= word >> 29;
    return (unsigned char)(word * 0xbf58476d1ce4e5b9u >> (8 * (place & 7)));
}

/* Fill memory with the bytes `seed`, from `place` of them on. */
static inline void memory_fill(volatile unsigned char *memory, uint64_t place, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        memory[i] = known(place + i, seed);
}

/* What is wrong of some bytes: how many, and where the first of them is. */
struct verdict {
    uint64_t wrong, first;
};

/* Compare memory with the bytes `seed`, from `place` of them on. */
static inline void memory_compare(const volatile unsigned char *memory, uint64_t place, size_t length, unsigned seed,
                                  struct verdict *verdict)
{
    for (size_t i = 0; i < length; i++)
        if (memory[i] != known(place + i, seed) && verdict->wrong++ == 0)
            verdict->first = place + i;
}

static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* A connection to `host`, which may not listen yet, or from whoever comes first where it is NULL. */
static inline int meet(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = host ? 0 : AI_PASSIVE};
    struct addrinfo *found;
    int one = 1, trouble = getaddrinfo(host, port, &hints, &found);
    if (trouble)
        stop("%s is no host: %s.", host ? host : port, gai_strerror(trouble));
    int line = socket(found->ai_family, found->ai_socktype, 0);
    if (host) {
        for (int tries = 0; connect(line, found->ai_addr, found->ai_addrlen); tries++, sleep(1))
            if (errno != ECONNREFUSED || tries == PATIENCE)
                stop("%s does not answer at port %s: %s; start the owner there first.", host, port, strerror(errno));
    } else {
        int listener = line;
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(listener, found->ai_addr, found->ai_addrlen) || listen(listener, 1))
            stop("port %s is not to be had: %s.", port, strerror(errno));
        printf("listening on port %s\n", port);
        fflush(stdout);
        line = accept(listener, NULL, NULL);
        close(listener);
    }
    setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    freeaddrinfo(found);
    return line;
}

static inline void tell(int line, const void *bytes, size_t length)
{
    if (send(line, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        stop("the other end has gone.");
}

/* Whether the other end has said something more. */
static inline bool hear(int line, void *bytes, size_t length)
{
    return recv(line, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static inline void must_hear(int line, void *bytes, size_t length)
{
    if (!hear(line, bytes, length))
        stop("the other end has gone.");
}

/* What one end does in turn, and how: "put:4096:65536" is a put of 65536 bytes at 4096. */
struct request {
    char name[16];
    uint64_t offset, length;
};

/* `names` are those that there are, each followed by a space. */
static inline struct request request_of(const char *text, const char *names)
{
    struct request request = {0};
    char name[sizeof(request.name) + 1];
    unsigned long long offset, length;
    int end = 0;
    if (sscanf(text, "%15[a-z]:%llu:%llu%n", request.name, &offset, &length, &end) != 3 || text[end] || length == 0
        || offset > MEMORY_BYTES || length > MEMORY_BYTES - offset)
        stop("\"%s\" is no request: write NAME:OFFSET:LENGTH within 2 MiB, as in put:0:65536.", text);
    snprintf(name, sizeof(name), "%s ", request.name);
    if (!strstr(names, name))
        stop("\"%s\" cannot be asked for; there are: %s", request.name, names);
    request.offset = offset;
    request.length = length;
    return request;
}

/* The seeds of bytes: what memory holds before a request, and what the request brings. */
enum { BEFORE = 1, SENT = 2 };

/* Compare all of a memory, of which a request changes its own part, or nothing. */
static inline struct verdict judge(const unsigned char *memory, const struct request *request, bool changed)
{
    uint64_t end = request->offset + request->length;
    struct verdict verdict = {0};
    memory_compare(memory, 0, request->offset, BEFORE, &verdict);
    memory_compare(memory + request->offset, request->offset, request->length, changed ? SENT : BEFORE, &verdict);
    memory_compare(memory + end, end, MEMORY_BYTES - end, BEFORE, &verdict);
    return verdict;
}

/* One line for people, and whether it was right. */
static inline bool report(const struct request *request, const struct verdict *verdict, double taken)
{
    printf("%s of %llu bytes at %llu: ", request->name, (unsigned long long)request->length,
           (unsigned long long)request->offset);
    if (verdict->wrong)
        printf("WRONG, %llu bytes, the first at %llu\n", (unsigned long long)verdict->wrong,
               (unsigned long long)verdict->first);
    else
        printf("right, %.1f MB/s\n", request->length / taken * 1e-6);
    fflush(stdout);
    return verdict->wrong == 0;
}

#endif
