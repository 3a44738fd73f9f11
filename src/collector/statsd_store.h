/*
 * statsd_store.h: series that applications send by StatsD: their values between two flushes, and what a flush makes of them.
 *
 * Belongs here: totals, names and labels that go to the database, what is sent again and what ends. Does not belong here: the socket
 * (statsd_socket.c), lines, reservoirs and sets (core/statsd.h).
 */
#ifndef OBSERV_COLLECTOR_STATSD_STORE_H
#define OBSERV_COLLECTOR_STATSD_STORE_H

#include "collector/samples.h"
#include "core/statsd.h"

struct statsd_store {
	struct series_table series[STATSD_TYPES];
	int max_series;
	struct samples labels;       /* for its buffer: labels of lines are made there */
	int64_t lines, errors, full; /* ever; full: lines of series beyond the cap */
	int64_t told_ms;             /* of errors and full */
	int64_t told_errors, told_full;
	int64_t flushed_us; /* wall clock: of the last flush, or the start */
};

void statsd_store_init(struct statsd_store *s, int max_series, int64_t wall_us);
void statsd_store_free(struct statsd_store *s);

/* Takes the lines of a datagram; `cut`: its end is missing, the last line is an error. */
void statsd_store_take(struct statsd_store *s, struct slice datagram, bool cut, int64_t now_ms);

/* Sends what there is. Times are of this moment, monotonic and by the wall clock. */
void statsd_store_flush(struct statsd_store *s, struct spool *spool, int64_t now_ms, int64_t wall_us);

int statsd_store_count(const struct statsd_store *s);

#endif
