/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

/* The polynomial with the lowest power in the highest bit. */
#define POLYNOMIAL 0x82f63b78u

/* Three runs of this many bytes are summed side by side: one instruction needs three cycles until its result is there,
 * and each cycle can begin one. */
#define RUN 1024

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_instructions;
/* What each byte does, from eight places. */
static uint32_t bytes_table[8][256];
/* What RUN and 2 * RUN zero bytes do to a checksum, for each of its bytes. */
static uint32_t run_table[2][4][256];

static uint32_t after_byte(uint32_t crc)
{
    for (int i = 0; i < 8; i++)
        crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    return crc;
}

static uint32_t after_zeros(uint32_t crc, size_t count)
{
    while (count--)
        crc = crc >> 8 ^ bytes_table[0][crc & 0xff];
    return crc;
}

static bool look_for_instructions(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) & (1 << 7); /* HWCAP_CRC32 */
#else
    return false;
#endif
}

static void set_up(void)
{
    for (uint32_t i = 0; i < 256; i++)
        bytes_table[0][i] = after_byte(i);
    for (int place = 1; place < 8; place++)
        for (int i = 0; i < 256; i++)
            bytes_table[place][i] = after_zeros(bytes_table[place - 1][i], 1);
    /* The effect is linear: that of a byte is the sum of those of its bits. */
    for (int run = 0; run < 2; run++)
        for (int place = 0; place < 4; place++)
            for (int bit = 0; bit < 8; bit++) {
                uint32_t effect = after_zeros(1u << (8 * place + bit), (size_t)RUN * (size_t)(run + 1));
                for (int i = 0; i < 256; i++)
                    if (i >> bit & 1)
                        run_table[run][place][i] ^= effect;
            }
    has_instructions = look_for_instructions();
}

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

uint32_t peermr_crc32c_by_tables(uint32_t crc, const void *bytes, size_t count)
{
    pthread_once(&once, set_up);
    const uint8_t *at = bytes;
    crc = ~crc;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; count >= 8; count -= 8, at += 8) {
        uint64_t word = word_at(at) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= bytes_table[7 - i][word >> (8 * i) & 0xff];
    }
#endif
    while (count--)
        crc = crc >> 8 ^ bytes_table[0][(crc ^ *at++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define WITH_INSTRUCTIONS __attribute__((target("sse4.2")))
#define SUM_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define SUM_BYTE(crc, byte) _mm_crc32_u8((crc), (byte))
#else
#define WITH_INSTRUCTIONS __attribute__((target("crc")))
#define SUM_WORD(crc, word) __crc32cd((crc), (word))
#define SUM_BYTE(crc, byte) __crc32cb((crc), (byte))
#endif

static uint32_t after_runs(uint32_t crc, int run)
{
    uint32_t(*table)[256] = run_table[run];
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
}

WITH_INSTRUCTIONS static uint32_t by_instructions(uint32_t crc, const uint8_t *at, size_t count)
{
    crc = ~crc;
    for (; count >= 3 * RUN; count -= 3 * RUN, at += 3 * RUN) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < RUN; i += 8) {
            crc = SUM_WORD(crc, word_at(at + i));
            second = SUM_WORD(second, word_at(at + RUN + i));
            third = SUM_WORD(third, word_at(at + 2 * RUN + i));
        }
        crc = after_runs(crc, 1) ^ after_runs(second, 0) ^ third;
    }
    for (; count >= 8; count -= 8, at += 8)
        crc = SUM_WORD(crc, word_at(at));
    while (count--)
        crc = SUM_BYTE(crc, *at++);
    return ~crc;
}

#endif

int peermr_crc32c_is_fast(void)
{
    pthread_once(&once, set_up);
    return has_instructions;
}

uint32_t peermr_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    pthread_once(&once, set_up);
#if defined(__x86_64__) || defined(__aarch64__)
    if (has_instructions)
        return by_instructions(crc, bytes, count);
#endif
    return peermr_crc32c_by_tables(crc, bytes, count);
}
