/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli; RFC 3720, B.4), by the processor's instructions where it has them, else by tables. */
#ifndef PEERMR_CHECKSUM_H
#define PEERMR_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` is the checksum of, followed by these bytes; 0 is that of nothing. */
uint32_t peermr_crc32c(uint32_t crc, const void *bytes, size_t count);

/* The same by tables alone, and whether the processor has the instructions: for tests. */
uint32_t peermr_crc32c_by_tables(uint32_t crc, const void *bytes, size_t count);
int peermr_crc32c_is_fast(void);

#endif
