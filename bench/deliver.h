/*
 * deliver.h: a load over one or more sessions as fast as it goes, and the time it takes.
 */
#ifndef OBSERV_BENCH_DELIVER_H
#define OBSERV_BENCH_DELIVER_H

#include "session.h"

struct outcome {
	long rows_inserted;
	long accepted;
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

#endif
