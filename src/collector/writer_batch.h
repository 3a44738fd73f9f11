/*
 * writer_batch.h: records that are sent together: a copy of them out of the spool, and what becomes of each.
 *
 * Belongs here: how many go at once, where a batch ends, which times the database stores as they are.
 * Does not belong here: SQL (sinks.h), the conversation and its failures (writer.h).
 */
#ifndef OBSERV_COLLECTOR_WRITER_BATCH_H
#define OBSERV_COLLECTOR_WRITER_BATCH_H

#include "collector/spool.h"
#include "common/strbuf.h"

#define BATCH_RECORDS 2000
#define BATCH_BYTES   (512 * 1024)

struct batch_item {
	size_t offset, size; /* in `bytes` */
	int64_t number;
	int64_t original_us, timestamp_us; /* the record's time, and the one it is sent with */
	enum record_kind kind;
	bool clamped, quarantined;
};

struct batch {
	struct strbuf bytes;
	struct batch_item *item;
	int count, room;
	int complete;               /* items up to the last end of a group */
	int to_store[RECORD_KINDS]; /* by kind, after batch_sort() */
	int64_t clamped, quarantined;
	int max; /* while it is being filled */
	bool full;
};

/* What the database says of times, all in microseconds since 1970. */
struct batch_window {
	int64_t accept_from_us, accept_until_us, server_time_us;
	int64_t offset_us; /* this machine's clock minus the database's */
};

/*
 * Takes up to `max` records above those that are acknowledged, up to BATCH_BYTES, at least one if there is one. Ends with a group
 * wherever one fits. False: what waits can't be read for now.
 */
bool batch_take(struct batch *b, const struct spool *spool, int max);

/* One record alone. */
void batch_take_one(struct batch *b, int64_t number, const struct record *r);

/* The number of its last record. */
int64_t batch_last(const struct batch *b);

/*
 * Decides which records are stored as they are, moved back (too far in the future: by the clocks' offset, at most to the
 * server's time) or put aside (too old; all of them when `bad`).
 */
void batch_sort(struct batch *b, const struct batch_window *window, bool bad);

/* Item as a record, with the time it is sent with. */
bool batch_record(const struct batch *b, int item, struct record *out);

/* Empties it; its memory stays, or goes. */
void batch_clear(struct batch *b);
void batch_free(struct batch *b);

#endif
