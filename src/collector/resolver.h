/*
 * resolver.h: getaddrinfo() in a short-lived process of its own, because it can block for minutes.
 *
 * Belongs here: turning host names into addresses under a deadline. Does not belong here: connections (connector.h).
 */
#ifndef OBSERV_COLLECTOR_RESOLVER_H
#define OBSERV_COLLECTOR_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RESOLVER_ANSWER_MAX 4096

struct resolver {
	int fd; /* of the answer; -1: nothing under way */
	pid_t pid;
	size_t used;
	char answer[RESOLVER_ANSWER_MAX];
};

/* Starts looking up names (separated by commas; "" and what needs no lookup give "-"). False with errno on failure. */
bool resolver_start(struct resolver *r, const char *names);

/*
 * To be called when r->fd is readable; true when the answer is complete. It holds a line for each name: addresses
 * separated by blanks, "-" for a name that needs none, or "! " and what went wrong.
 */
bool resolver_receive(struct resolver *r);

/* Forgets about it; the process is killed. */
void resolver_stop(struct resolver *r);

/* Whether the name has to be looked up at all: no socket directory, no address. */
bool resolver_needed(const char *name);

#endif
