/*
 * little_endian.h: numbers in files, in the same order on every machine: a state directory may move.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_LITTLE_ENDIAN_H
#define OBSERV_CORE_LITTLE_ENDIAN_H

#include <stdint.h>

/* Writes the lowest `bytes` bytes of n; returns where they end. */
static inline char *
put_number(char *out, uint64_t n, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*out++ = (char) (n >> (8 * i) & 0xff);
	return out;
}

static inline uint64_t
get_number(const char *in, int bytes)
{
	uint64_t n = 0;

	for (int i = bytes - 1; i >= 0; i--)
		n = n << 8 | (unsigned char) in[i];
	return n;
}

#endif
