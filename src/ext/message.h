/*
 * A notification as it is to be said now: made anew before each attempt out of the row of the outbox, the alerts as they stand, and the templates of
 * the channel. What does not belong here: the form that a service wants (channel_*.c), when it is sent (outbox.h).
 *
 * All texts are valid UTF-8 where the database is, may hold anything else: markup, line ends, control characters. They are never NULL unless said.
 */
#ifndef OBSERV_EXT_MESSAGE_H
#define OBSERV_EXT_MESSAGE_H

#include "core/notify_decision.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct MessageAlert {
	int64 alert_id;
	const char *fingerprint; /* ours */
	enum mark
		mark; /* NEW, STILL, RESOLVED: by what this channel has received, not by what was meant for it */
	bool firing;
	int severity;                                    /* 0 info … 6 emergency */
	Jsonb *labels, *annotations;                     /* objects of texts */
	const char *name;                                /* label alertname */
	const char *instance;                            /* label instance, else vps_name; "" */
	const char *summary, *description, *runbook_url; /* NULL: none */
	double value, peak, threshold;                   /* NaN: none */
	TimestampTz starts_at, ends_at;                  /* ends_at: 0 while it fires */
	double duration_seconds;
	const char *acked_by, *resolved_reason; /* NULL */
	bool flapping, stale, reopened;
	const char *silence_url, *explain_url; /* into the dashboard; NULL without observ.external_url */
} MessageAlert;

typedef struct Message {
	int64 notification_id; /* 0: a test */
	int seq, attempt;      /* attempt: from 1 */
	const char *channel, *group_key, *incident_key, *idempotency_key, *reason;
	const char *route; /* NULL: it is gone */
	TimestampTz at;    /* of the flush */
	TimestampTz now;   /* of the attempt: the alerts are as they stood then */
	bool firing;       /* of the full set, listed or not */
	bool test;    /* an alert of observ.test_alert(), or observ.test_channel(): titles begin with [TEST] */
	int severity; /* the highest */
	Jsonb *group_labels, *common_labels, *common_annotations;
	MessageAlert *alerts; /* new, still, resolved; in each by severity, then instance */
	int n_alerts;
	int n_firing, n_resolved; /* all there are */
	int left_out;             /* of these not in alerts */
	const char *am_group_key; /* as Alertmanager writes it: {}/{team="x"}:{alertname="A"} */
	const char *
		title; /* one line: of the channel's template, else the usual one, which begins with [TEST] where it is a test */
	const char *usual_title; /* as in observ.notifications, with the numbers of now */
	const char *body; /* of the channel's template; NULL: it has none, each kind has a form of its own */
	const char *template_error; /* why a template was not used (C15): for the attempt's error; NULL */
	const char *url;            /* of the alerts in the dashboard; NULL without observ.external_url */
	const char *external_url;   /* observ.external_url; NULL */
} Message;

/* What alerts of observ.test_alert() have: nobody's rule does. */
#define OBSERV_TEST_LABEL "observ_test"

#define OBSERV_SEVERITIES 7

/* Number of that name, 0 for one that is none. */
extern int observ_severity_number(const char *name);

/* Lower-case name of a severity, 0 to 6; its colour as 0xRRGGBB (alerting.md section 6). */
extern const char *observ_severity_name(int severity);
extern int observ_severity_color(int severity);

/*
 * A text made fit: control characters but \n become blanks (one_line: \n too), at most `max` characters after escaping, cut between
 * characters (and not inside an escape), "…" at the cut. escape: NULL, or what markup becomes: writes one character (UTF-8, len bytes) to `out`.
 */
typedef void (*MessageEscape)(StringInfo out, const char *character, int len);

/* A text in the form of a service: made fit, its markup escaped; palloc'd. */
typedef char *(*MessageForm)(const char *text);

/* Words of a channel's own. */
typedef struct MessageTemplates {
	const char *title, *body; /* NULL: the usual ones */
	MessageForm value;        /* of values in a body that is markup; NULL: it is plain text */
} MessageTemplates;

extern char *observ_fit(const char *text, int max, bool one_line, MessageEscape escape);
extern void observ_escape_html(StringInfo out, const char *character, int len);  /* & < > " ' */
extern void observ_escape_slack(StringInfo out, const char *character, int len); /* & < > */

/*
 * The message as plain text, for SMS, ntfy, the text part of mail and whatever has no form of its own: the body of the template, or line by line
 * "NEW critical DiskFull db-1: summary (value 97, peak 98, for 5m, acknowledged by ann)"; at most `max` characters, whole lines, and then
 * "… and N more". n_listed: NULL, or how many alerts are in it.
 */
extern char *observ_message_text(const Message *message, int max, int *n_listed);

/* NEW, STILL, RESOLVED */
extern const char *observ_mark_word(enum mark mark);

/* One alert in a line as above; parts that there are not are left out. */
extern char *observ_message_line(const MessageAlert *alert);

/* "value 97, peak 98, for 5m, acknowledged by ann, flapping"; what there is to say of one that is over is "after 5m", and why if not that it cleared. May be "". */
extern char *observ_message_facts(const MessageAlert *alert);

/*
 * RFC 3339 in UTC: 2026-01-02T03:04:05.678Z; palloc'd. At most so many digits of a second (0 to 6), without zeros at the end. NULL for what RFC 3339
 * can't say: no time (0), infinity, years outside of 1 to 9999.
 */
extern char *observ_time_text(TimestampTz time, int digits);

/* "5m", "2h 10m", "3d 4h" */
extern char *observ_duration_text(double seconds);

/*
 * The message of a row of observ.notifications for a channel (message.c). Needs SPI_connect(). In the current memory
 * context.
 *
 * What the row says of its alerts is brought up to date from observ.alerts, durations by `now`; `now` 0: it is taken as it is. Brought up to date:
 * values, severities, acknowledgements; what fired and is over is RESOLVED, or, when this channel has never heard of it (C2), not in the message; what
 * the row says is over stays so, a later notification says that it fires again. Marks go by what the channel has received, when notifications
 * between delivered_seq and this one were not. n_alerts 0: there is nothing left to say.
 */
typedef struct MessageSource {
	int64 notification_id;
	int seq, attempt,
		delivered_seq; /* delivered_seq: the latest that the channel has received of this group; 0 */
	const char *channel, *group_key, *incident_key, *idempotency_key, *reason, *title;
	const char *route;   /* NULL: it is gone */
	TimestampTz at, now; /* of the flush; of the attempt, 0: don't look at observ.alerts */
	int severity, firing, resolved;
	Jsonb *group_labels, *alerts; /* as in observ.notifications */
	MessageTemplates templates;
} MessageSource;
extern Message *observ_message(const MessageSource *source);

/*
 * Whether a template can be rendered, by rendering it with examples. Raises 22023 with the place and a hint. what: "title_template".
 */
extern void observ_check_message_template(const char *what, const char *text);

/* A made-up message of one alert for observ.test_channel(). */
extern Message *observ_test_message(const char *channel, const char *idempotency_key, TimestampTz at,
									const MessageTemplates *templates);

#endif
