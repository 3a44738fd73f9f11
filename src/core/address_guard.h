/*
 * address_guard.h: addresses that nobody's receiver has: an address of a channel must not be a way into what surrounds the server.
 *
 * Belongs here: which ones. Does not belong here: names, connections (common/curl_multi.h asks for the address behind each).
 * Loopback and private networks are not among them: people run receivers there. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ADDRESS_GUARD_H
#define OBSERV_CORE_ADDRESS_GUARD_H

#include <stddef.h>
#include <stdint.h>

/*
 * What is wrong with an address, in words for people ("link-local, where clouds keep their metadata"); NULL: nothing. `len` is 4 or 16 (anything
 * else is refused), bytes in network order. IPv6 forms of an IPv4 address (mapped, compatible, NAT64, 6to4) count as that address.
 */
const char *address_refused(const uint8_t *bytes, size_t len);

#endif
