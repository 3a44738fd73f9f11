/*
 * spool.h: everything that waits for the database, numbered, on disk before it is sent: what survives a crash and an outage.
 *
 * Belongs here: groups and numbers, segments and their recovery, the cap and what goes first, how far log files have been
 * read. Does not belong here: talking to the database (writer.h), the bytes of a record (core/record.h).
 *
 * A group is written whole or not at all: rows of a log file and the RECORD_POSITION that says how far it has been read. Each
 * record has a number, one higher than the one before; a spool that is opened goes on with the microseconds since 1970 (or
 * behind its last number, what is more), so that its numbers are higher than those of one that was lost, in whole or in its
 * unsynced end. Numbers of what was given up for want of room are missing. The number of the last record of a batch is the batch's
 * sequence in the database: observ.collectors.last_seq says which records are there, whoever crashed in between.
 *
 * The spool never fails its callers: where the disk can't be written it goes on in memory (1 MB), says so once, and returns to
 * disk when it can. What has to go for want of room is counted by rank, and becomes a RECORD_EVENT of kind data_lost.
 */
#ifndef OBSERV_COLLECTOR_SPOOL_H
#define OBSERV_COLLECTOR_SPOOL_H

#include "core/record.h"

/* When the database is to hear of a group. */
enum spool_urgency {
	SPOOL_LATER, /* with the next flush, each collection_interval */
	SPOOL_SOON,  /* within a second: log lines */
	SPOOL_NOW    /* a check that failed, an event */
};

struct spool;

/*
 * Opens or makes the spool in DIR (whose parent exists), finds what waits there: damaged frames are passed over and counted, a group
 * that was not written whole is cut off. `max_bytes` is the cap of all segments. NULL only when memory runs out.
 */
struct spool *spool_open(const char *dir, int64_t max_bytes, int64_t now_ms);

/* Writes what is in memory, syncs, frees. */
void spool_close(struct spool *s);

/* --- putting. Between begin and end nothing else of the spool may be called but put. */
void spool_begin(struct spool *s);
void spool_put(struct spool *s, const struct record *r);
/* The group is in the spool (in memory at least; on disk before it is sent). False when it was given up, whole, for want of room. */
bool spool_end(struct spool *s, enum spool_urgency urgency);

/* One record as a group of its own. */
bool spool_add(struct spool *s, const struct record *r, enum spool_urgency urgency);

/* Bytes that sources with a buffer of their own (log files) may still put: 0 at three quarters of the cap. */
int64_t spool_room(const struct spool *s);

/*
 * --- taking. Records with numbers above `after`, oldest first: calls `take` with each until it returns false; `r` is gone then. False:
 * memory or descriptors are short, what comes next is there but can't be read for now.
 */
typedef bool (*spool_take)(void *into, int64_t number, bool group_goes_on, const struct record *r);
bool spool_read(struct spool *s, int64_t after, spool_take take, void *into);

/* Records up to `number` are in the database: they are not read again, their segments go. */
void spool_ack(struct spool *s, int64_t number);

/* The highest number that was acknowledged, and the highest there is. */
int64_t spool_acked(const struct spool *s);
int64_t spool_last(const struct spool *s);
/* Whether there was nothing in DIR when it was opened (first start, or lost). */
bool spool_is_new(const struct spool *s);
/*
 * Whether the database, whose last_seq is this, has had records that the spool does not know: the spool was lost, or its end was
 * (power failure, memory only). Then the database's positions of log files are the newer ones. To be asked at the first greeting.
 */
bool spool_is_behind(const struct spool *s, int64_t last_seq);
/*
 * Whether positions may be missing or old: their file was damaged, the power failed, or the agent was killed while the spool was in
 * memory. Then none are known until the first spool_ack(), and the database's are to be asked.
 */
bool spool_positions_lost(const struct spool *s);
/*
 * The database, whose last_seq is this, is ahead of the spool (spool_is_behind()): what waits up to there is taken for delivered. Where
 * nothing says that the spool's end was lost, somebody else may have used the numbers: then what goes is told as lost.
 */
void spool_catch_up(struct spool *s, int64_t last_seq);
/* Gives everything that waits new numbers, above `number`. For a spool that is new, before anything of it was sent. */
void spool_renumber(struct spool *s, int64_t number);

/* The newest RECORD_METRICS that waits; false when none does. For the fresh sample after an outage. `r` points into the spool. */
bool spool_newest_metrics(struct spool *s, int64_t *number, struct record *r);

/* What waits. `urgent_ms`: when the most urgent group wants to be sent (monotonic ms), INT64_MAX: with the next flush. */
struct spool_state {
	int64_t records, bytes, oldest_us;
	int64_t dropped[RANKS]; /* ever, by rank */
	int64_t thinned, damaged;
	bool on_disk; /* false: only in memory, see `problem` */
	char problem[160];
};
/* Reads the oldest record. */
void spool_state(struct spool *s, struct spool_state *out);
/* Two numbers of it that are asked for often: bytes that wait, and all that was dropped. */
int64_t spool_waiting_bytes(const struct spool *s);
int64_t spool_dropped(const struct spool *s);
int64_t spool_urgent_ms(const struct spool *s);
/* A flush has taken everything there is: nothing is urgent any more. */
void spool_not_urgent(struct spool *s);

/* Housekeeping: sync each 5 s, back to disk. When it is due, and what to call then. */
int64_t spool_wake_ms(const struct spool *s);
void spool_run(struct spool *s, int64_t now_ms);

/* --- how far log files have been read: the last RECORD_POSITION of each file, also of those that were delivered. NULL: none. */
const char *spool_position(const struct spool *s, const char *file);
void spool_positions(const struct spool *s, void (*each)(void *into, const char *file, const char *state),
					 void *into);
/*
 * From the database, for a spool that was lost or is behind it: replaces what is known, but for what waits undelivered. So what the
 * database has must be acknowledged first.
 */
void spool_set_position(struct spool *s, const char *file, const char *state);

#endif
