/*
 * notify_decision.h: whether a flush tells a channel about a group of alerts, and why (alerting.md 2.3; contracts C2 to C5, C14, C16).
 *
 * Belongs here: the decision. Does not belong here: who is in the group, what is suppressed, what the message looks like.
 * Times are microseconds of any epoch. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_NOTIFY_DECISION_H
#define OBSERV_CORE_NOTIFY_DECISION_H

#include <stdbool.h>
#include <stdint.h>

enum told_state { TOLD_NOTHING, TOLD_FIRING, TOLD_RESOLVED };
enum mark { MARK_NONE, MARK_NEW, MARK_STILL, MARK_RESOLVED };

/* What else has happened to an alert since the channel was told of it. */
enum notify_news {
	NEWS_NONE,
	NEWS_ACK_EXPIRED,  /* its acknowledgement is over, and it still fires */
	NEWS_FLAPPING,     /* it began to flap; also of an alert that the channel was not told of */
	NEWS_STEADY,       /* it was told as flapping and does so no more */
	NEWS_ACKNOWLEDGED, /* somebody looks after it */
};

/* An alert of the group as the flush finds it, in and out. */
struct notify_alert {
	bool firing;         /* firing or recovering, or flapping; else resolved */
	bool suppressed;     /* trouble with it is not told now */
	bool was_suppressed; /* at the flush before, firing */
	bool
		keeps_quiet; /* acknowledged, flapping, or no longer this channel's: no repeats, nothing new, but its end is told */
	enum notify_news news; /* at most one: the first of the enum */
	enum told_state told;  /* what the channel knows of this episode */
	enum mark mark;        /* out: how it appears in the notification; MARK_NONE: not in it */
};

struct notify_channel {
	bool send_resolved;
	bool told_anything;       /* it has an open incident of this group */
	bool escalation;          /* it is told because nobody has acknowledged, not because of a route */
	int64_t sent_at;          /* logical time of the flush of the latest notification */
	int repeats;              /* repetitions so far */
	const int64_t *repeat_us; /* intervals of repetition; the last one goes on; n_repeat 0: never */
	int n_repeat;
};

/* In the order of precedence: the first that holds is the reason. */
enum notify_reason {
	NOTIFY_NOT,
	NOTIFY_FIRST,
	NOTIFY_NEW_ALERTS,
	NOTIFY_ESCALATION, /* instead of these two */
	NOTIFY_UNSUPPRESSED,
	NOTIFY_ACK_EXPIRED,
	NOTIFY_FLAPPING,
	NOTIFY_STEADY,
	NOTIFY_SOME_RESOLVED,
	NOTIFY_ALL_RESOLVED,
	NOTIFY_ACKNOWLEDGED,
	NOTIFY_REPEAT,
};
/* as in observ.notifications.reason */
extern const char *const notify_reason_names[];

/* Decides for one channel at `at`, and marks the alerts. */
enum notify_reason notify_decide(const struct notify_channel *channel, struct notify_alert *alerts, int n,
								 int64_t at);

#endif
