/*
 * The outbox from the notifier's side: which notifications are due, and what came of them (alerting.md 2.8). Two short transactions with the
 * network between them; everything that must outlive a crash is in the rows.
 * What does not belong here: how a notification is made (dispatch.h), what it says (message.h), the network (delivery.h).
 *
 *   queued ──claim──▶ sending (lease_until) ──record──▶ sent | retry (not_before) | dead
 *   retry  ──claim──▶ sending; a lease that ran out is a retry that nobody knows the answer of
 *   queued, retry ──claim──▶ cancelled: superseded by a later one of its group and channel, or there is nothing left to say (C2)
 */
#ifndef OBSERV_EXT_OUTBOX_H
#define OBSERV_EXT_OUTBOX_H

#include "ext/channel_kind.h"

/* A notification that is to be sent now. Lives in a memory context of its own, which whoever claimed it deletes. */
typedef struct Delivery {
	MemoryContext context;
	int64 notification_id;
	int attempt, step, variant;
	const char *channel;
	const ChannelKind *kind;
	ChannelConfig *config; /* secrets followed */
	Message *message;
	TimestampTz claimed_at;
} Delivery;

typedef struct OutboxClaim {
	List *deliveries;     /* of Delivery *; in `context` of the call each in its own */
	TimestampTz next_due; /* when something else becomes due without anybody's doing; DT_NOEND: never */
	bool more;            /* as many as were asked for: there may be others */
	int cancelled, dead;  /* of notifications that ended without being sent */
} OutboxClaim;

/*
 * Marks notifications as sending and makes their messages: per channel and group only the earliest open one, per channel as many as its kind and
 * its bucket of tokens allow, not while the channel is blocked (Retry-After, failures in a row); emergencies first, channels in turn. A message that can't be
 * made (a secret is missing, say) is recorded as a failed attempt and doesn't keep others. Times out of `at` only. Needs SPI_connect() in a
 * transaction of its own. free: places for deliveries, of which a channel leaves as many to others as it has itself; at_most of them are taken now.
 */
extern void observ_claim_deliveries(TimestampTz at, int free, int at_most, OutboxClaim *claim);

/* What came of an attempt, as observ.notification_attempts keeps it. */
typedef struct DeliveryResult {
	int64 notification_id;
	int attempt, step;
	const char *channel, *kind;
	ChannelVerdict verdict;
	int status_code; /* 0: none */
	const char *
		phase; /* where it ended when there was no answer: render, resolve, connect, tls, send, answer, body; NULL */
	const char *excerpt;  /* of the answer, at most 1 kB, redacted; NULL */
	double latency_ms;    /* -1: nothing was sent */
	const char *address;  /* of the other side; NULL */
	bool unsure;          /* it was written whole and no answer came */
	TimestampTz ended_at; /* row of the attempt; timers count from observ_record_deliveries()'s `at` */
} DeliveryResult;

/*
 * Writes attempts down and moves notifications on; wakes whoever waits for a fallback. A result of an attempt that is not the present one (its lease
 * ran out meanwhile) is written down and moves nothing. held: those whose notification somebody has locked; nothing of them is written, and they are to be
 * recorded later. Needs SPI_connect() in a transaction of its own.
 */
extern void observ_record_deliveries(TimestampTz at, const DeliveryResult *results, int n, bool *held);

/*
 * At the start of a notifier: what is marked as sending was somebody's who is gone, and is due at once. Returns how many. Needs SPI_connect().
 */
extern int observ_recover_deliveries(TimestampTz at);

#endif
