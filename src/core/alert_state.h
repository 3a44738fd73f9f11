/*
 * alert_state.h: the life of one alert: inactive, pending, firing, recovering, resolved.
 *
 * Belongs here: what one evaluation makes of the state (alerting.md 2.1, 2.9, 2.10; contracts C6, C8, C9, C25). Does not belong here: where
 * values come from, who is told.
 * Times are microseconds of any epoch; only the caller has a clock. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ALERT_STATE_H
#define OBSERV_CORE_ALERT_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* No time. */
#define ALERT_NEVER INT64_MIN

enum alert_status { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING, ALERT_RECOVERING, ALERT_RESOLVED };

/* pending, firing, …: as in observ.alerts.status */
extern const char *const alert_status_names[];

/* What an evaluation found about one instance. */
enum alert_signal {
	SIGNAL_BREACH,  /* the rule is true */
	SIGNAL_HOLD,    /* between threshold and clear_threshold: neither fires nor clears */
	SIGNAL_CLEAR,   /* the rule is false */
	SIGNAL_SILENT,  /* nothing comes from the source */
	SIGNAL_MISSING, /* the source goes on, this instance has no samples */
};

enum alert_absence { ABSENCE_KEEP, ABSENCE_RESOLVE, ABSENCE_ALERT };

/* What of a rule decides about states. */
struct alert_policy {
	int64_t for_us;                /* boundary inclusive: fires when at - active_at >= for (C6) */
	int64_t keep_us;               /* boundary exclusive: recovers while at - keep_since < keep (C6) */
	int64_t missing_us;            /* absence of a series is acted on after this */
	enum alert_absence no_data;    /* SIGNAL_SILENT */
	enum alert_absence on_missing; /* SIGNAL_MISSING */
	bool flap_detection;
};

struct alert_instance {
	enum alert_status status;
	int64_t active_at, fired_at, keep_since, missing_since, ended_at; /* ALERT_NEVER where not */
	bool stale;
	uint32_t flap_history; /* flapping.h */
	int64_t flap_at;
	bool flapping;
};

/* What happened, as in observ.alert_history.event; NONE: nothing that history keeps. */
enum alert_event {
	ALERT_EVENT_NONE,
	ALERT_EVENT_PENDING,
	ALERT_EVENT_FIRING,
	ALERT_EVENT_RECOVERING,
	ALERT_EVENT_REFIRING,
	ALERT_EVENT_REOPENED,
	ALERT_EVENT_RESOLVED,
	ALERT_EVENT_INACTIVE,
	ALERT_EVENT_FLAPPING,
	ALERT_EVENT_STEADY,
	ALERT_EVENT_SHIFTED,
};
extern const char *const alert_event_names[];

#define ALERT_MAX_EVENTS 4

struct alert_change {
	int n; /* events, in order; a rule without for_duration is pending and firing at once */
	enum alert_event events[ALERT_MAX_EVENTS];
	enum alert_status after[ALERT_MAX_EVENTS]; /* status after each */
	const char *reason;                        /* of the last: cleared, no_data, NULL */
	bool touched; /* something of *instance is not as before: stale, missing_since, flap_… count */
};

/*
 * One evaluation at `at` of an instance that may be inactive (all ALERT_NEVER). `interval_us`: time from one evaluation of the rule to the next.
 * An instance that is inactive or pending and has an ended_at goes on with the alert that ended then: it is reopened when it fires. Time during
 * which a source was silent and its alerts were kept counts towards neither for nor keep. What a failed evaluation does: not call this (C7).
 */
struct alert_change alert_step(const struct alert_policy *policy, struct alert_instance *instance,
							   enum alert_signal signal, int64_t at, int64_t interval_us);

/* A time without evaluations and without data, which counts towards nothing: pending and recovering are moved by it (2.10). */
bool alert_shift(struct alert_instance *instance, int64_t gap_us);

#endif
