/*
 * agents.h: many agents, each with a connection of its own, that flush every few seconds.
 *
 * Belongs here: when each agent flushes, which of them misbehave, how long flushes take.
 * Does not belong here: what is said (session.h), rows (payload.h).
 */
#ifndef OBSERV_BENCH_AGENTS_H
#define OBSERV_BENCH_AGENTS_H

#include "session.h"

struct schedule {
	int interval_ms; /* between two flushes of an agent */
	bool splay;      /* agents spread over the interval; false: all of them at the same moment, each time */
	bool odd;        /* some agents misbehave, see odd_agents_are in payload.h */
};

struct turnout {
	long rows_inserted, flushes;
	long sent_again, clamped, quarantined; /* rows: what observ.collectors is to say in the end */
	double seconds, connect_seconds, server_cpu;
	double *
		first_ms; /* of each agent's first flush, when its server process knows nothing yet; as the next one */
	double *flush_ms; /* from the first byte of a flush to the answer to its COMMIT */
	double *
		due_ms; /* to the same answer from the moment that the flush was due, so that waiting for the one before counts */
	int firsts, count;
};

/* One session per VPS of the load, all connected before the first flush. Ends the program when anything goes wrong. */
void run_agents(const struct load *load, const struct payloads *payloads, const struct delivery *delivery,
				const struct schedule *schedule, struct turnout *out);

#endif
