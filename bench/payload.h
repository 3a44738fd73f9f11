/*
 * payload.h: what is sent to the database, made before the clock starts.
 *
 * Belongs here: SQL texts, the order of rows, their text and binary form. Does not belong here: connections (session.h).
 */
#ifndef OBSERV_BENCH_PAYLOAD_H
#define OBSERV_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/strbuf.h"
#include "core/row.h"

#define KEY_PARAMS 3 /* vps_name, app_name, timestamp */
#define MAX_PARAMS (KEY_PARAMS + METRICS)

enum load_method { METHOD_INSERT, METHOD_COPY };

/* A load of `vps` x `steps` rows. */
struct load {
	enum load_method method;
	bool binary;
	bool all_columns; /* false: the eight classic metrics */
	bool by_vps; /* all steps of one VPS, then the next: a backlog; false: all VPSs of one step: a fleet */
	bool begin_batch;
	int vps, steps, step_s, batch, sessions;
	int least;        /* by_vps: batches have from `least` to `batch` rows; 0: all have `batch` */
	bool odd;         /* late agents' rows are old, see odd_agents_are() */
	int64_t start_us; /* first timestamp, microseconds since 1970 */
	uint64_t seed;
	const char *table;
	int columns; /* how many metrics, which */
	enum metric column[METRICS];
};

/* A transaction's worth of rows. */
struct payload {
	int vps; /* number of the VPS that all rows are of, -1 when of several */
	int rows;
	struct strbuf bytes;
	size_t start[MAX_PARAMS + 1]; /* INSERT: parameter i is bytes[start[i]] to bytes[start[i + 1]] */
};

struct payloads {
	struct payload *list;
	int count;
	double sum[METRICS];    /* of the rows, as the database stores them */
	long measured[METRICS]; /* how many values are not NULL */
};

/* Of ten agents, one each … */
enum odd_kind {
	ODD_NOT,
	ODD_SENDS_TWICE, /* … does not know what has arrived, and sends each batch again under a new number */
	ODD_LATE,        /* … comes back after three days */
	ODD_SKEWED,      /* … has a clock an hour ahead; its rows are moved back, as obs-agent does it */
	ODD_DROPPED_DAY, /* … has rows of a day that is gone, which go to observ.quarantine */
};
enum odd_kind odd_agents_are(int number);

/* Sets columns and column from all_columns. */
void load_set_columns(struct load *load);

/* Name of a VPS, and of the application on it. */
void vps_name(char *out, size_t size, int number);
void app_name(char *out, size_t size, int number);

/* INSERT … SELECT FROM unnest() or COPY … FROM STDIN. */
void load_statement(const struct load *load, struct strbuf *out);

/* Makes every transaction of the load. False when memory ran out. */
bool load_make(const struct load *load, struct payloads *out);

#endif
