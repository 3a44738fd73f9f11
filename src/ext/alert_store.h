/*
 * Alerts as an evaluation works with them: read once, changed in memory, written together.
 * What does not belong here: why they change (evaluation.c, core/alert_state.h), their texts (alert_text.h).
 */
#ifndef OBSERV_EXT_ALERT_STORE_H
#define OBSERV_EXT_ALERT_STORE_H

#include "ext/evaluation.h"
#include "utils/array.h"

/* One alert: a row of observ.alerts, or one that is to become one. */
typedef struct ObservLiveAlert {
	int64 alert_id; /* 0: not known to the database yet */
	int64 rule_id;
	ObservRule *rule;        /* NULL: deleted, or not enabled */
	ObservInstance instance; /* a copy */
	char *fingerprint;
	struct alert_instance state;
	int severity;
	int changes;
	int reopened;
	double value, peak;     /* NaN: none */
	TimestampTz sampled_at; /* DT_NOBEGIN: not known */
	const char *reason;     /* resolved_reason */
	bool by_hand;           /* resolved by a person: never reopened */
	bool acknowledged, sticky;
	bool overflow; /* stands for instances beyond observ.max_alerts_per_rule */

	bool stored; /* there is a row, which was read with read_changes */
	int read_changes;
	TimestampTz read_sampled_at;
	bool changed;        /* the row must be written */
	bool refreshed;      /* its value did, it may be written */
	bool relabelled;     /* its rule was edited: labels, annotations and severity are written, too */
	bool unacknowledged; /* an acknowledgement ends */
	bool unrouted;       /* dispatch is to look at it */
	bool gone;           /* was pending and cleared: the row is deleted */
	bool lost;           /* somebody else changed the row meanwhile */

	int told; /* number of the evaluation that told of it */
	enum alert_signal signal;
	double told_value;
	TimestampTz told_sampled_at;

	struct ObservLiveAlert *previous;     /* episode before, in memory, that may be reopened */
	struct ObservLiveAlert *goes_on_as;   /* of one that is gone: the episode before, which was reopened */
	struct ObservLiveAlert *next_of_rule; /* of rule->index */
} ObservLiveAlert;

/* A row of observ.alert_history to be. */
typedef struct ObservAlertEvent {
	ObservLiveAlert *alert;
	TimestampTz at;
	enum alert_status from, to;
	enum alert_event event;
	const char *name; /* instead of event's */
	const char *reason;
	double value;
} ObservAlertEvent;

typedef struct ObservAlertStore {
	MemoryContext context;
	struct live_hash *by_instance;
	ObservLiveAlert **all;
	int n, room;
	ObservAlertEvent *events;
	int n_events, events_room;
} ObservAlertStore;

/* An empty one in that memory context, like all that is put into it. */
extern ObservAlertStore *observ_alert_store(MemoryContext context);

/* Reads what is live, or resolved and still flapping. Needs SPI_connect(). */
extern void observ_read_alerts(ObservAlertStore *store);

/* The alert of an instance; NULL: none. With `enter` the instance is copied and an inactive one made. instance->hash must be set. */
extern ObservLiveAlert *observ_find_alert(ObservAlertStore *store, int64 rule_id,
										  const ObservInstance *instance);
extern ObservLiveAlert *observ_new_alert(ObservAlertStore *store, ObservRule *rule,
										 const ObservInstance *instance);

/* Makes an alert the one that observ_find_alert() finds for its instance. */
extern void observ_enter_alert(ObservAlertStore *store, ObservLiveAlert *alert);

/* Fills in the latest resolved alert of the same fingerprint, ended at `since` or later, as `previous` of those that have none. */
extern void observ_find_previous(ObservAlertStore *store, ObservLiveAlert **alerts, int n, TimestampTz since);

extern void observ_note_event(ObservAlertStore *store, const ObservAlertEvent *event);

typedef struct ObservWritten {
	int inserted, updated, refreshed, deleted;
	int lost; /* rows that somebody changed meanwhile: left alone */
	int history;
} ObservWritten;

/* Writes all that changed, and its history. Needs SPI_connect(). */
extern void observ_write_alerts(ObservEvaluation *evaluation, ObservAlertStore *store,
								ObservWritten *written);

/* Counts of alerts in observ.fleet_summary, for these VPSs; NULL: for all. Rows that somebody has locked are left for the next time. Needs SPI_connect(). */
extern void observ_count_alerts(ArrayType *vps_names);

#endif
