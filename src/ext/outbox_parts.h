/*
 * What the parts of the outbox share: channels as they stand (outbox_channels.c), groups and what is said of them (outbox_group.c), messages
 * (outbox_message.c), what is over without being sent (outbox_expire.c). What does not belong here: what others call (outbox.h).
 */
#ifndef OBSERV_EXT_OUTBOX_PARTS_H
#define OBSERV_EXT_OUTBOX_PARTS_H

#include "core/token_bucket.h"
#include "ext/outbox.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* From so many failures in a row on the whole channel waits, and one notification at a time tries it. */
#define OUTBOX_BROKEN_AFTER 3

/* observ_data.deliveries.parts: a character for each request that makes the notification, by step. */
#define OUTBOX_OPEN   '-' /* is to be sent */
#define OUTBOX_UNSURE '?' /* so is this, and it may have arrived */
#define OUTBOX_DONE   '+'
#define OUTBOX_LOST   'x' /* is never sent again */

/* The first part after `step` that is to be sent; -1: there is none. */
static inline int
outbox_next_part(const char *parts, int step)
{
	for (int i = step + 1; parts[i] != '\0'; i++)
		if (parts[i] == OUTBOX_OPEN || parts[i] == OUTBOX_UNSURE)
			return i;
	return -1;
}

/* observ_data.deliveries.lane */
enum OutboxLane { LANE_EMERGENCY, LANE_OTHER, LANE_SENDING, LANE_BEHIND };

/* A channel that something can be sent through: it is enabled and of a kind that there is. */
typedef struct OutboxChannel {
	const char *name;
	const ChannelKind *kind;
	struct token_bucket_rules rules;
	struct token_bucket bucket;
	TimestampTz blocked_until; /* DT_NOBEGIN: it isn't */
	TimestampTz claimed_at;    /* DT_NOBEGIN: never */
	TimestampTz first[2];      /* when something is due in these lanes; DT_NOEND: nothing waits */
	int failures, sending;
	int room;     /* how many may be claimed now */
	bool claimed; /* something was */
} OutboxChannel;

/* A notification in the queue. */
typedef struct OutboxRow {
	const char *channel, *group_key;
	MessageSource source;
	enum OutboxLane lane;
	TimestampTz due_at, made_at;
	bool emergency, alone; /* alone: it neither gives way to others nor takes their place */
	int failures, step;
	char *parts;     /* how far each is (OUTBOX_OPEN …), in the order of steps */
	int place, turn; /* of its channel, in its channel */
	enum OutboxAction {
		ROW_LEAVE,
		ROW_UNTOUCHED, /* it stays where it is in the queue */
		ROW_SEND,
		ROW_BEHIND,     /* an earlier one is under way */
		ROW_SUPERSEDED, /* row `by` says it */
		ROW_CANCELLED,  /* there is nothing left to say, or nobody to say it to */
		ROW_DEAD,       /* too old */
		ROW_POSTPONED,  /* a dispatch is at it, or somebody else */
		ROW_GONE        /* somebody has finished it by hand */
	} action;
	int64 by;
	const char *error; /* of one that is cancelled or dead; NULL */
	bool followed;     /* later ones wait behind it */
	bool held;         /* somebody has it locked */
	bool rewritten;    /* its alerts, numbers and title are others than in the outbox */
} OutboxRow;

/* ---- outbox_channels.c */

/*
 * Channels that something waits for, by what they may be sent now; the others only move `next_due`. free: places for deliveries; a channel that has
 * as many under way itself gets no more, so that any number of receivers that hang leave some to the others. Needs SPI_connect().
 */
extern OutboxChannel *observ_outbox_channels(TimestampTz at, int free, int *n, TimestampTz *next_due);

/* Writes down the buckets and turns of channels that something was claimed of. */
extern void observ_outbox_claimed(TimestampTz at, const OutboxChannel *channels, int n);

/* ---- outbox_state.c: how channels stand after these attempts. */
extern void observ_outbox_note_results(TimestampTz at, const DeliveryResult *results, int n);

/* ---- outbox_rows.c */

/* Groups of channels, each once. */
typedef ObservRowBatch OutboxGroups;
extern OutboxGroups *observ_outbox_groups(void);
extern void observ_outbox_add_group(OutboxGroups *groups, const char *channel, const char *group_key);

/* Their open notifications, by channel, group and seq. */
extern OutboxRow *observ_outbox_rows(TimestampTz at, OutboxGroups *groups, int *n);

/* Calls `decide` with the rows of each channel and group; groups of which one is held are postponed. */
extern void observ_outbox_each_group(TimestampTz at, OutboxRow *rows, int n,
									 void (*decide)(TimestampTz at, OutboxRow *rows, int n));

/* Writes what was decided; `claim` counts. */
extern void observ_outbox_write(TimestampTz at, const OutboxRow *rows, int n, OutboxClaim *claim);

/*
 * ---- outbox_held.c: which of these notifications another transaction has locked; returns how many. The others can be written without a wait, but for
 * whoever locks one at this moment. Needs SPI_connect().
 */
extern int observ_outbox_find_held(const int64 *ids, int n, bool *held);

/* ---- outbox_group.c: decides about the open notifications of one channel and group. */

/* What is sent. */
extern void observ_outbox_decide(TimestampTz at, OutboxRow *rows, int n);

/* Of an object of observ.notifications.alerts; 0: it has none. */
extern int64 observ_outbox_alert_id(JsonbContainer *alert);

/* Such an object with another mark, and another since_seq unless that is negative. */
extern Jsonb *observ_outbox_marked(JsonbContainer *alert, enum mark mark, int since_seq);

/* What is given up, because of its age. */
extern void observ_outbox_give_up(TimestampTz at, OutboxRow *rows, int n);

/*
 * ---- outbox_message.c: deliveries of rows that are claimed, by `place` in `channels`; those that have nothing to say, or can't now, get another
 * action. Returns attempts that failed before they began, of DeliveryResult *.
 */
extern List *observ_outbox_messages(TimestampTz at, OutboxRow **rows, int n, const OutboxChannel *channels,
									int n_channels, MemoryContext parent, OutboxClaim *claim);

/* ---- outbox_record.c: attempts whose lease ended until then are nobody's; how many there were. */
extern int observ_outbox_end_leases(TimestampTz at, TimestampTz until);

/* ---- outbox_expire.c */

/* Gives up what is too old. */
extern void observ_outbox_expire(TimestampTz at, OutboxClaim *claim);

/* When the oldest there is will be too old; DT_NOEND: there is none. */
extern TimestampTz observ_outbox_next_deadline(void);

/* When a notification is given up. */
extern TimestampTz observ_outbox_deadline(TimestampTz made_at, bool emergency);

/*
 * ---- outbox_fallback.c: tells the fallback channels of notifications that are dead. For the next dispatch the others were not told, where there is
 * no fallback. The caller has OBSERV_LOCK_DISPATCH.
 */
extern void observ_outbox_fall_back(TimestampTz at, const int64 *dead, int n);

#endif
