/* notify_decision.c: What would be worth telling is counted, the most important of it is the reason. See notify_decision.h for what belongs here. */
#include "core/notify_decision.h"

const char *const notify_reason_names[] = {
	"nothing new",          "first notification",      "new alerts added", "escalation",
	"unsuppressed",         "acknowledgement expired", "flapping",         "flapping ended",
	"some alerts resolved", "all alerts resolved",     "acknowledged",     "repeat interval elapsed"};

/* What there is to tell, by number of alerts. */
struct tally {
	int fresh;      /* trouble that the channel does not know */
	int back;       /* trouble that was kept from it until now */
	int ended;      /* trouble that it knows and that is over */
	int open;       /* trouble that it knows and that goes on, suppressed or not */
	int repeatable; /* trouble that it may be reminded of */
	int calmed;     /* trouble that was told as flapping, and is over with it */
	int news[NEWS_ACKNOWLEDGED + 1];
};

/* What flaps is told once, though it keeps quiet otherwise. */
static bool
may_appear(const struct notify_alert *a)
{
	return !a->suppressed && (!a->keeps_quiet || a->told == TOLD_FIRING || a->news == NEWS_FLAPPING);
}

static void
count(struct tally *tally, const struct notify_alert *a)
{
	bool known = a->told == TOLD_FIRING;

	if (!a->firing) {
		tally->ended += known;
		tally->calmed += known && a->news == NEWS_STEADY;
		return;
	}
	tally->open += known;
	if (!may_appear(a))
		return;
	tally->news[a->news]++;
	if (a->keeps_quiet)
		return;
	if (a->was_suppressed)
		tally->back++;
	else if (!known)
		tally->fresh++;
	tally->repeatable += known;
}

static bool
repeat_due(const struct notify_channel *channel, int64_t at)
{
	int i = channel->repeats < channel->n_repeat ? channel->repeats : channel->n_repeat - 1;

	/* C5: both are times of flushes, so that what is due at a flush is not one flush late. */
	return channel->n_repeat > 0 && at - channel->sent_at >= channel->repeat_us[i];
}

static enum notify_reason
reason_of(const struct notify_channel *channel, const struct tally *tally, int64_t at)
{
	if (tally->fresh > 0 && channel->escalation)
		return NOTIFY_ESCALATION;
	if (tally->fresh > 0)
		return channel->told_anything ? NOTIFY_NEW_ALERTS : NOTIFY_FIRST;
	if (tally->back > 0)
		return NOTIFY_UNSUPPRESSED;
	if (tally->news[NEWS_ACK_EXPIRED] > 0)
		return NOTIFY_ACK_EXPIRED;
	if (tally->news[NEWS_FLAPPING] > 0)
		return NOTIFY_FLAPPING;
	if (tally->news[NEWS_STEADY] > 0 || (tally->calmed > 0 && channel->send_resolved))
		return NOTIFY_STEADY;
	if (tally->ended > 0 && channel->send_resolved)
		return tally->open > 0 ? NOTIFY_SOME_RESOLVED : NOTIFY_ALL_RESOLVED;
	if (tally->news[NEWS_ACKNOWLEDGED] > 0)
		return NOTIFY_ACKNOWLEDGED;
	if (tally->repeatable > 0 && repeat_due(channel, at))
		return NOTIFY_REPEAT;
	return NOTIFY_NOT;
}

static enum mark
mark_of(const struct notify_channel *channel, const struct notify_alert *a)
{
	if (!a->firing)
		return a->told == TOLD_FIRING && channel->send_resolved ? MARK_RESOLVED : MARK_NONE;
	if (!may_appear(a))
		return MARK_NONE;
	return a->told == TOLD_FIRING ? MARK_STILL : MARK_NEW;
}

enum notify_reason
notify_decide(const struct notify_channel *channel, struct notify_alert *alerts, int n, int64_t at)
{
	struct tally tally = {0};
	enum notify_reason reason;

	for (int i = 0; i < n; i++)
		count(&tally, &alerts[i]);
	reason = reason_of(channel, &tally, at);
	for (int i = 0; i < n; i++)
		alerts[i].mark = reason == NOTIFY_NOT ? MARK_NONE : mark_of(channel, &alerts[i]);
	return reason;
}
