/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-abi: runs the tests of the C library; for sanitizers, for valgrind, and for libpeermr.so itself.
 *
 *     c-abi [ROUNDS [WORD]]       all tests so many times; only those with a word in their names
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c_abi.h"

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    for (unsigned i = 0; i < c_abi_count() * rounds; i++) {
        unsigned index = i % c_abi_count();
        if (argc > 2 && !strstr(c_abi_name(index), argv[2]))
            continue;
        const char *fault = c_abi_run(index);
        if (fault)
            printf("FAIL %s: %s\n", c_abi_name(index), fault);
        fault ? failed++ : passed++;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
