/*
 * tcp_table.h: who a machine talks to: /proc/net/tcp and tcp6, and connections counted by their other end.
 *
 * Belongs here: the format, which end listens, the groups. Does not belong here: reading, text of addresses (collector/peers.c).
 * NEUTRAL, pure: groups lie in memory of the caller.
 */
#ifndef OBSERV_CORE_TCP_TABLE_H
#define OBSERV_CORE_TCP_TABLE_H

#include "core/slice.h"

/* IPv4 addresses are written as IPv6 ones (::ffff:1.2.3.4), network byte order. */
struct tcp_address {
	unsigned char byte[16];
};

struct tcp_entry {
	struct tcp_address local, remote;
	uint16_t local_port, remote_port;
	bool listens, established; /* neither: in between */
};

/* Takes the next socket off `text`; false at the end. Lines that are none are passed over. */
bool next_tcp(struct slice *text, struct tcp_entry *out);

bool tcp_is_v4(const struct tcp_address *a);
/* Loopback (all of 127/8 and ::1), link-local and unspecified addresses: they name no machine. */
bool tcp_is_nowhere(const struct tcp_address *a);

#define TCP_PEERS_MAX 500

struct tcp_peer {
	struct tcp_address address; /* of the other end */
	uint16_t port;              /* of the end that listens */
	bool inbound;               /* it came to us */
	int32_t connections;
};

/* Set to zero to begin. First all that listens is noted, then all connections. */
struct tcp_peers {
	uint64_t listening[65536 / 64]; /* a bit for each port */
	struct tcp_peer peer[TCP_PEERS_MAX];
	int count;
	int64_t left_out;   /* connections of groups that did not fit */
	int16_t slot[1024]; /* of a group: its index + 1, 0: free */
};

void tcp_peers_listen(struct tcp_peers *p, const struct tcp_entry *e);
void tcp_peers_add(struct tcp_peers *p, const struct tcp_entry *e);

/* How many groups are in one of the two and not in the other. */
int tcp_peers_changes(const struct tcp_peers *a, const struct tcp_peers *b);

#endif
