/*
 * waiting.h: what the one poll() of the agent waits for: descriptors and the next deadline.
 */
#ifndef OBSERV_COLLECTOR_WAITING_H
#define OBSERV_COLLECTOR_WAITING_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define WAITING_MAX 32
#define NEVER       INT64_MAX

struct waiting {
	struct pollfd fd[WAITING_MAX];
	int count;
	int64_t wake_ms; /* monotonic */
};

void waiting_clear(struct waiting *w);

/* Adds a descriptor (-1: nothing) and a time. A part of the agent adds at most four; what is more stays unwatched until its deadline. */
void waiting_fd(struct waiting *w, int fd, short events);
void waiting_until(struct waiting *w, int64_t wake_ms);

/* Waits. False when poll() failed for good. */
bool waiting_poll(struct waiting *w, int64_t now_ms);

/* Whether the descriptor has something to say, after waiting_poll(). */
bool waiting_ready(const struct waiting *w, int fd);

#endif
