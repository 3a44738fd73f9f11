/* outbox_merge.c: see the header. */
#include "core/outbox_merge.h"

#include <stdlib.h>

/* By alert; the latest first. */
static int
compare_items(const void *a, const void *b)
{
	const struct outbox_item *x = a, *y = b;

	if (x->alert_id != y->alert_id)
		return x->alert_id < y->alert_id ? -1 : 1;
	return y->note - x->note;
}

/* Of the first of `n` items, which are the same alert's: number of the notification by which the channel knows that it fires; 0: it doesn't. */
static int
heard_by(const struct outbox_item *items, int n, int delivered_seq)
{
	for (int i = 0; i < n && items[i].alert_id == items[0].alert_id; i++)
		if (items[i].since_seq <= delivered_seq)
			return items[i].since_seq > 0 ? items[i].since_seq : 1;
	return 0;
}

static void
settle(struct outbox_item *item, int n, int n_notes, int delivered_seq, struct outbox_tally *tally)
{
	int heard = heard_by(item, n, delivered_seq), again = item->since_seq > delivered_seq;

	if (item->mark == MARK_RESOLVED)
		item->mark = heard ? MARK_RESOLVED : MARK_NONE;
	else if (!heard)
		item->mark = MARK_NEW;
	else if (again) {
		item->mark = MARK_STILL;
		tally->again++;
	} else
		/* The newest leaves out what it has not listed, or what is no longer told. */
		item->mark = item->note == n_notes - 1 ? MARK_STILL : MARK_NONE;
	if (heard && again)
		item->since_seq = heard;
}

struct outbox_tally
outbox_merge(struct outbox_item *items, int n, int n_notes, int delivered_seq)
{
	struct outbox_tally tally = {0, 0, 0, 0};

	qsort(items, (size_t) n, sizeof *items, compare_items);
	for (int i = 0; i < n; i++) {
		struct outbox_item *item = &items[i];

		if (i > 0 && items[i - 1].alert_id == item->alert_id)
			item->mark = MARK_NONE;
		else
			settle(item, n - i, n_notes, delivered_seq, &tally);
		tally.fresh += item->mark == MARK_NEW;
		tally.still += item->mark == MARK_STILL;
		tally.resolved += item->mark == MARK_RESOLVED;
	}
	return tally;
}

static int
holds(enum notify_reason reason, const struct outbox_tally *tally, int firing)
{
	switch (reason) {
	case NOTIFY_NOT:
		return 0;
	case NOTIFY_FIRST:
	case NOTIFY_NEW_ALERTS:
	case NOTIFY_ESCALATION:
		return tally->fresh > 0;
	case NOTIFY_SOME_RESOLVED:
	case NOTIFY_ALL_RESOLVED:
		return tally->resolved > 0 && (firing == 0) == (reason == NOTIFY_ALL_RESOLVED);
	default:
		return firing > 0;
	}
}

enum notify_reason
outbox_reason(const enum notify_reason *reasons, int n, const struct outbox_tally *tally, int firing)
{
	enum notify_reason first = NOTIFY_NOT;

	for (int i = 0; i < n; i++)
		if (holds(reasons[i], tally, firing) && (first == NOTIFY_NOT || reasons[i] < first))
			first = reasons[i];
	if (first != NOTIFY_NOT)
		return first;
	/* What is left to say was said for another reason than there was. */
	if (tally->fresh + tally->again > 0)
		return NOTIFY_NEW_ALERTS;
	if (tally->resolved > 0)
		return firing > 0 ? NOTIFY_SOME_RESOLVED : NOTIFY_ALL_RESOLVED;
	return NOTIFY_NOT;
}
