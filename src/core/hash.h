/*
 * hash.h: 64-bit FNV-1a (Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv/), for spreading and naming, not for secrets.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_HASH_H
#define OBSERV_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The offset basis: what a hash begins with. */
#define HASH_SEED UINT64_C(0xcbf29ce484222325)

/* Goes on from `seed` with `size` bytes, or with a terminated string. */
uint64_t hash_span(uint64_t seed, const void *bytes, size_t size);
uint64_t hash_string(uint64_t seed, const char *s);

/* Spreads what differs in few bits over all of them: finalizer of MurmurHash3 (Austin Appleby, fmix64). One to one. */
uint64_t hash_finish(uint64_t h);

#endif
