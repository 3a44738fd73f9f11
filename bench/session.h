/*
 * session.h: sends a load over one or more connections and takes the time.
 */
#ifndef OBSERV_BENCH_SESSION_H
#define OBSERV_BENCH_SESSION_H

#include "payload.h"

struct delivery {
	const char *conninfo;
	const char *role;  /* SET ROLE; NULL: as connected */
	int64_t first_seq; /* number of each agent's first batch */
	bool one_copy;     /* all rows of a session in one COPY instead of one per batch */
};

struct outcome {
	long rows_inserted;
	long accepted;     /* batches that begin_batch took; all of them without begin_batch */
	double server_cpu; /* seconds that the backends were on a processor; 0 when they are elsewhere */
	double seconds;    /* from the first session's first byte to the last session's last answer */
	double *batch_ms;  /* how long each transaction took; as many as payloads, fewer with one_copy */
	int batches;
};

/* Ends the program with a message when anything goes wrong. */
void deliver(const struct load *load, const struct payloads *payloads, const struct delivery *delivery,
			 struct outcome *out);

/* Milliseconds that share (0 … 1) of the values do not exceed; sorts them. 0 without values. */
double quantile(double *values, int count, double share);

/* Prints a message with libpq's words, if any, and ends the program. */
void die(const char *what, const char *detail) __attribute__((noreturn));

#endif
