/* hash.c: FNV-1a. See hash.h for what belongs here. */
#include "core/hash.h"

#include <string.h>

uint64_t
hash_span(uint64_t seed, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < size; i++)
		seed = (seed ^ p[i]) * UINT64_C(0x100000001b3);
	return seed;
}

uint64_t
hash_string(uint64_t seed, const char *s)
{
	return hash_span(seed, s, strlen(s));
}

uint64_t
hash_finish(uint64_t h)
{
	h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ (h >> 33);
}
