/*
 * record.h: what a source of the collector has to say: one row (or a scrape of many samples) on its way into the database.
 *
 * Belongs here: kinds, their fields, and the bytes that a record is in the spool.
 * Does not belong here: frames and files (collector/spool.h), SQL (collector/sinks.c).
 * NEUTRAL, pure: a record points into memory of its caller.
 */
#ifndef OBSERV_CORE_RECORD_H
#define OBSERV_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

/* Numbers are kept on disk: never reused for something else. */
enum record_kind {
	RECORD_METRICS = 1, /* observ.vps_metrics: the columns of metric_columns[], in that order */
	RECORD_HEALTH = 2,
	RECORD_LOG = 3,
	RECORD_SAMPLES = 4, /* one call of observ.insert_samples(): fields are array literals */
	RECORD_EVENT = 5,
	RECORD_PEERS = 6,    /* one call of observ.record_peers() */
	RECORD_POSITION = 7, /* how far a log file has been read: commits with the rows before it */
	RECORD_KINDS
};

/* Fields by kind; values are the text that PostgreSQL reads. The first of all, the time, is record.timestamp_us. */
enum health_field {
	HEALTH_URL,
	HEALTH_STATUS_CODE,
	HEALTH_RESPONSE_TIME_MS,
	HEALTH_SUCCESS,
	HEALTH_ERROR_MESSAGE,
	HEALTH_DNS_MS,
	HEALTH_CONNECT_MS,
	HEALTH_TLS_MS,
	HEALTH_FIRST_BYTE_MS,
	HEALTH_TLS_EXPIRES_AT,
	HEALTH_BREAKER_STATE,
	HEALTH_INCONCLUSIVE,
	HEALTH_FIELDS
};
enum line_field { LINE_LEVEL, LINE_MESSAGE, LINE_CONTEXT, LINE_LOGGER, LINE_SOURCE, LINE_FIELDS };
enum samples_field { SAMPLES_NAMES, SAMPLES_LABELS, SAMPLES_VALUES, SAMPLES_KINDS, SAMPLES_FIELDS };
enum event_field { EVENT_KIND, EVENT_MESSAGE, EVENT_SUCCESS, EVENT_DURATION_MS, EVENT_DATA, EVENT_FIELDS };
enum peers_field { PEERS_JSON, PEERS_ADDRESSES, PEERS_FIELDS };
/* State is one line of text that only the tailer reads; NULL: the file is forgotten. */
enum position_field { POSITION_FILE, POSITION_STATE, POSITION_FIELDS };

#define RECORD_FIELDS_MAX 40

/* What is given up first when there is no room. */
enum record_rank {
	RANK_METRICS, /* thinned to one a minute, then dropped, oldest first */
	RANK_LOW,     /* log lines below warning */
	RANK_WARNING, /* log lines of level warning */
	RANK_KEEP,    /* errors, events, positions: last */
	RANKS
};

struct record {
	enum record_kind kind;
	enum record_rank rank;
	int64_t timestamp_us; /* microseconds since 1970, clock of this machine */
	int fields;
	struct slice field[RECORD_FIELDS_MAX]; /* p NULL: NULL */
};

/* How soon a log line of that level is given up. */
enum record_rank record_rank_of_level(struct slice level);

/* A record of that kind without any field set. */
void record_init(struct record *r, enum record_kind kind, enum record_rank rank, int64_t timestamp_us);

/* Sets a field to a terminated string; NULL: NULL. The string must live as long as the record is used. */
void record_set(struct record *r, int field, const char *text);

/* Bytes that record_write() needs. */
size_t record_size(const struct record *r);

/* Writes the record to `out`; returns the number of bytes, record_size(). */
size_t record_write(const struct record *r, char *out);

/* Reads what record_write() wrote; false for anything else. Fields point into `bytes`. */
bool record_read(struct slice bytes, struct record *out);

#endif
