/* SPDX-License-Identifier: Apache-2.0 */
/* CRYPTO_memcmp(3), in place of libcrypto's: whether codes are compared in constant time shows in who compares them. */
#include "fake_state.h"

#include <stddef.h>

int CRYPTO_memcmp(const void *a, const void *b, size_t count);

static __thread uint64_t compared;

int CRYPTO_memcmp(const void *a, const void *b, size_t count)
{
    const volatile unsigned char *left = a, *right = b;
    unsigned char difference = 0;
    for (size_t index = 0; index < count; index++)
        difference |= left[index] ^ right[index];
    compared += count;
    return difference;
}

uint64_t fake_verbs_compared(void)
{
    return compared;
}
