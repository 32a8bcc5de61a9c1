/* SPDX-License-Identifier: Apache-2.0 */
/* c-abi: runs the tests of the C library; for sanitizers, for valgrind, and for libpeermr.so itself. */
#include <stdio.h>
#include <string.h>

#include "c_abi.h"

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    for (unsigned i = 0; i < c_abi_count(); i++) {
        if (argc > 1 && !strstr(c_abi_name(i), argv[1]))
            continue;
        const char *fault = c_abi_run(i);
        if (fault)
            printf("FAIL %s: %s\n", c_abi_name(i), fault);
        fault ? failed++ : passed++;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
