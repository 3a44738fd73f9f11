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

/* An alert of the group as the flush finds it, in and out. */
struct notify_alert {
	bool firing;          /* firing or recovering; else resolved */
	bool suppressed;      /* trouble with it is not told now */
	bool was_suppressed;  /* at the flush before, firing */
	bool keeps_quiet;     /* acknowledged or flapping: no repeats, nothing new, but its end is told */
	enum told_state told; /* what the channel knows of this episode */
	enum mark mark;       /* out: how it appears in the notification; MARK_NONE: not in it */
};

struct notify_channel {
	bool send_resolved;
	bool told_anything;       /* it has an open incident of this group */
	int64_t sent_at;          /* logical time of the flush of the latest notification */
	int repeats;              /* repetitions so far */
	const int64_t *repeat_us; /* intervals of repetition; the last one goes on; n_repeat 0: never */
	int n_repeat;
};

enum notify_reason {
	NOTIFY_NOT,
	NOTIFY_FIRST,
	NOTIFY_NEW_ALERTS,
	NOTIFY_SOME_RESOLVED,
	NOTIFY_ALL_RESOLVED,
	NOTIFY_REPEAT,
	NOTIFY_UNSUPPRESSED,
};
/* as in observ.notifications.reason */
extern const char *const notify_reason_names[];

/* Decides for one channel at `at`, and marks the alerts. */
enum notify_reason notify_decide(const struct notify_channel *channel, struct notify_alert *alerts, int n,
								 int64_t at);

#endif
