/*
 * outbox_merge.h: what one notification says in place of several that were not delivered (alerting.md 2.8; contracts C2, C3, C14).
 *
 * Belongs here: which alerts are left to tell, as what, and why. Does not belong here: which notifications are merged, what they look like.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_OUTBOX_MERGE_H
#define OBSERV_CORE_OUTBOX_MERGE_H

#include "core/notify_decision.h"

/* An alert in one of the notifications. */
struct outbox_item {
	int64_t alert_id;
	int note;  /* which notification: 0 the earliest */
	int place; /* the caller's: where the rest of it is */
	int since_seq; /* number of the notification that first said that it fires; out: the one that the channel has heard of */
	enum mark mark; /* in: in that notification; out: in the merged one, MARK_NONE: not in it */
};

struct outbox_tally {
	int fresh, still, resolved; /* items with these marks */
	int again; /* of those that are still: over and firing anew meanwhile, which is news, if not a new alert */
};

/*
 * Marks them as the newest of `n_notes` notifications is to show them to a channel that has received everything up to `delivered_seq`. Of each alert
 * its latest item counts; the channel has heard that it fires when it has heard of any of them. What fires is NEW when the channel has not heard of it;
 * what an earlier notification had and the newest has not is kept when it is news. What is over is kept when the channel has heard that it fired (C3), and
 * else dropped (C2).
 */
struct outbox_tally outbox_merge(struct outbox_item *items, int n, int n_notes, int delivered_seq);

/* The reason of the merged one: the first in the order of precedence that still holds; NOTIFY_NOT: there is nothing left to say. */
enum notify_reason outbox_reason(const enum notify_reason *reasons, int n, const struct outbox_tally *tally,
								 int firing);

#endif
