/*
 * Alerts in memory, for those who decide who is told: dispatch, inhibition, silences.
 * What does not belong here: evaluation's view of them (alert_store.h).
 */
#ifndef OBSERV_EXT_LIVE_ALERT_H
#define OBSERV_EXT_LIVE_ALERT_H

#include "core/alert_state.h"
#include "core/matchers.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef struct ObservAlert {
	int64 alert_id;
	int64 rule_id;
	enum alert_status status;
	int severity; /* 0 info … 6 emergency */
	const char *fingerprint;
	const char *name;     /* label alertname */
	const char *instance; /* NULL: none */
	const char *app_name;
	Jsonb *labels;
	TimestampTz active_at;
	TimestampTz starts_at;       /* DT_NOBEGIN: has not fired */
	TimestampTz ends_at;         /* DT_NOEND: not resolved */
	TimestampTz sampled_at;      /* DT_NOBEGIN: not known */
	int64 for_us;                /* for_duration of its rule; 0 when that is gone */
	int64 interval_us;           /* its rule's evaluation interval, or observ.evaluation_interval */
	int64 reopen_us;             /* reopen_window of its rule; 0 when that is gone */
	int reopened;                /* how often it fired again within it */
	const char *resolved_reason; /* NULL: none */
	bool flapping;
	bool acknowledged; /* at the time of the dispatch */
	int changes;
} ObservAlert;

/* matchers_lookup of an ObservAlert: its labels; `instance` is vps_name where no label has that name. */
extern matchers_lookup observ_alert_label;

/* The same of labels alone; the value may lie in the current memory context. */
extern struct slice observ_alert_label_in(Jsonb *labels, struct slice name);

/* Whether these are the labels of an alert of observ.test_alert(). */
extern bool observ_is_test(Jsonb *labels);

/* Reads alerts by the condition of a WHERE clause over `observ.alerts a` with up to two parameters; ordered by alert_id. Needs SPI_connect(). */
extern ObservAlert *observ_load_alerts(TimestampTz at, const char *where, int nargs, const Oid *types,
									   const Datum *values, int *n);

#endif
