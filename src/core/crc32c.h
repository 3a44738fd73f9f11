/*
 * crc32c.h: CRC-32C (Castagnoli; RFC 3720, appendix B.4), for finding what a disk or a crash has damaged, not for secrets.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_CRC32C_H
#define OBSERV_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, the result for what came before (0: nothing). "123456789" gives 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
