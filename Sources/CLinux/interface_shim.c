/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "linux_shim.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* The 16 bytes of an address, of IPv4 as ::ffff:a.b.c.d; 0 for one of another family. */
static int bytes_of(const struct sockaddr *address, unsigned char bytes[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (address == NULL)
        return 0;
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;

        memcpy(&six, address, sizeof(six));
        memcpy(bytes, &six.sin6_addr, 16);
        return 1;
    }
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;

        memcpy(&four, address, sizeof(four));
        memcpy(bytes, mapped, sizeof(mapped));
        memcpy(bytes + sizeof(mapped), &four.sin_addr, 4);
        return 1;
    }
    return 0;
}

int peermr_parse_address(const char *text, unsigned char bytes[16])
{
    struct sockaddr_in four = {.sin_family = AF_INET};

    if (inet_pton(AF_INET6, text, bytes) == 1)
        return 1;
    return inet_pton(AF_INET, text, &four.sin_addr) == 1 && bytes_of((const struct sockaddr *)&four, bytes);
}

int peermr_interface_of(const unsigned char wanted[16], char name[16])
{
    struct ifaddrs *all, *entry;
    unsigned char bytes[16];

    _Static_assert(IFNAMSIZ == 16, "the size of an interface's name");
    name[0] = '\0';
    if (getifaddrs(&all) < 0)
        return -1;
    for (entry = all; entry != NULL && name[0] == '\0'; entry = entry->ifa_next) {
        if (bytes_of(entry->ifa_addr, bytes) && memcmp(bytes, wanted, 16) == 0)
            strncpy(name, entry->ifa_name, 15);
    }
    name[15] = '\0';
    freeifaddrs(all);
    return name[0] != '\0';
}
