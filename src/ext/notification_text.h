/* What a notification says: its title, its alerts. What does not belong here: the form that a channel gives it. */
#ifndef OBSERV_EXT_NOTIFICATION_TEXT_H
#define OBSERV_EXT_NOTIFICATION_TEXT_H

#include "core/notify_decision.h"
#include "ext/live_alert.h"

/* How many alerts a notification lists. */
#define OBSERV_LISTED_FIRING   20
#define OBSERV_LISTED_RESOLVED 10

/* An alert of a notification. */
typedef struct NotificationItem {
	const ObservAlert *alert;
	enum mark mark;
	int since_seq; /* number of the notification that first said that it fires */
} NotificationItem;

/* How many alerts a notification is about, whether or not they are listed. */
typedef struct NotificationCounts {
	int firing, fresh, muted, resolved; /* fresh and muted are parts of firing */
} NotificationCounts;

/*
 * [FIRING:3 (1 new) RESOLVED:1] group: as many as there are, and the values of the group labels, alertname first; the name of the route (NULL: it is gone) when
 * there are none. palloc'd.
 */
extern char *observ_notification_title(enum notify_reason reason, const NotificationCounts *counts,
									   Jsonb *group_labels, const char *route);

/*
 * Puts alerts into the order of a message: new, still, resolved; in each by severity, then instance, then age. Returns how many of them are
 * listed: the first 20 that fire, the first 10 that are resolved; these come first then.
 */
extern int observ_notification_order(NotificationItem *items, int n);

/* new, still, resolved */
extern const char *observ_mark_name(enum mark mark);

/* SQL for one of them: an object out of alias a (observ.alerts), l.mark, l.since_seq and n.at, the time of the flush. */
extern const char observ_notification_alert_sql[];

#endif
