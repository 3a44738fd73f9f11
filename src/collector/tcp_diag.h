/*
 * tcp_diag.h: the machine's TCP sockets, asked of the kernel by netlink: what /proc/net/tcp has, for a twentieth of the work.
 *
 * Belongs here: asking, and reading the answer. Does not belong here: /proc, when to look (peers.c), what sockets mean (core/tcp_table.h).
 * See sock_diag(7).
 */
#ifndef OBSERV_COLLECTOR_TCP_DIAG_H
#define OBSERV_COLLECTOR_TCP_DIAG_H

#include "core/tcp_table.h"

#define TCP_DIAG_BYTES 8192 /* of a buffer, aligned to 8: no piece of an answer is larger */

enum tcp_diag_read {
	TCP_DIAG_MORE,
	TCP_DIAG_END,
	TCP_DIAG_FAILED, /* the kernel does not answer such questions */
};

/* Asks for the sockets of one family (AF_INET, AF_INET6): those that listen, or those that are connected. A descriptor, or -1 and errno. */
int tcp_diag_open(int family, bool listening);

/* Reads a piece of the answer into `buffer`, and hands out the sockets in it. Does not wait. */
enum tcp_diag_read tcp_diag_read(int fd, char buffer[TCP_DIAG_BYTES],
								 void (*take)(void *into, const struct tcp_entry *e), void *into);

#endif
