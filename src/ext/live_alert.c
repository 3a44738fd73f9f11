/*
 * Alerts as those see them who decide who is told. What does not belong here: writing alerts (alert_store.c), matchers (matcher_sets.c).
 */
#include "postgres.h"

#include "ext/live_alert.h"

#include "catalog/pg_enum.h"
#include "ext/gucs.h"
#include "ext/message.h"
#include "ext/metric_labels.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define FETCH_ROWS 1000
/* Of evaluations that only people start. */
#define DEFAULT_INTERVAL_S 15

/* Columns of the query, from 1. */
enum AlertColumn {
	COL_ALERT_ID = 1,
	COL_RULE_ID,
	COL_STATUS,
	COL_SEVERITY,
	COL_FINGERPRINT,
	COL_INSTANCE,
	COL_APP_NAME,
	COL_LABELS,
	COL_ACTIVE_AT,
	COL_STARTS_AT,
	COL_ENDS_AT,
	COL_SAMPLED_AT,
	COL_FLAPPING,
	COL_ACKNOWLEDGED_AT,
	COL_ACKNOWLEDGED_UNTIL,
	COL_CHANGES,
	COL_REOPENED,
	COL_RESOLVED_REASON,
	COL_RULE_NAME,
	COL_FOR,
	COL_INTERVAL,
	COL_REOPEN_WINDOW,
};

static const char columns_sql[] =
	"SELECT a.alert_id, a.rule_id, a.status, a.severity, a.fingerprint, a.instance, a.app_name, a.labels, "
	"a.active_at, a.starts_at, a.ends_at, a.sampled_at, a.flapping, a.acknowledged_at, a.acknowledged_until, "
	"a.changes, a.reopened, a.resolved_reason, r.name, r.for_duration, r.evaluation_interval, "
	"r.reopen_window "
	"FROM observ.alerts a LEFT JOIN observ.alert_rules r USING (rule_id) WHERE ";

typedef struct Row {
	HeapTuple tuple;
	TupleDesc desc;
} Row;

static Datum
column(const Row *row, enum AlertColumn number, bool *isnull)
{
	return SPI_getbinval(row->tuple, row->desc, number, isnull);
}

static char *
text_of(const Row *row, enum AlertColumn number)
{
	bool isnull;
	Datum value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static TimestampTz
time_of(const Row *row, enum AlertColumn number, TimestampTz if_null)
{
	bool isnull;
	Datum value = column(row, number, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}

static int64
usecs_of(const Row *row, enum AlertColumn number, int64 if_null)
{
	bool isnull;
	Datum value = column(row, number, &isnull);

	return isnull ? if_null : observ_interval_usecs(DatumGetIntervalP(value));
}

static enum alert_status
status_of(const Row *row)
{
	static const struct {
		const char *name;
		enum alert_status status;
	} known[] = {{"pending", ALERT_PENDING},
				 {"firing", ALERT_FIRING},
				 {"recovering", ALERT_RECOVERING},
				 {"resolved", ALERT_RESOLVED}};
	char *status = text_of(row, COL_STATUS);

	for (size_t i = 0; i < lengthof(known); i++)
		if (strcmp(known[i].name, status) == 0) {
			pfree(status);
			return known[i].status;
		}
	return ALERT_INACTIVE;
}

/* Place of a value of observ.severity among its values, from 0. */
static int
severity_of(const Row *row)
{
	static Oid known[7];
	bool isnull;
	Oid severity = DatumGetObjectId(column(row, COL_SEVERITY, &isnull));
	HeapTuple tuple;
	int order;

	for (size_t i = 0; i < lengthof(known); i++)
		if (known[i] == severity)
			return (int) i;
	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(severity));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum %u", severity);
	order = (int) ((Form_pg_enum) GETSTRUCT(tuple))->enumsortorder - 1;
	ReleaseSysCache(tuple);
	if (order >= 0 && order < (int) lengthof(known))
		known[order] = severity;
	return Min(Max(order, 0), (int) lengthof(known) - 1);
}

/* The name, as its label says it, or as its rule is called. */
static char *
name_of(const Row *row, Jsonb *labels)
{
	struct slice label = observ_label_value(labels, slice_of("alertname"));
	char *rule;

	if (label.p != NULL)
		return pnstrdup(label.p, label.end - label.p);
	rule = text_of(row, COL_RULE_NAME);
	return rule == NULL ? pstrdup("") : rule;
}

static bool
is_acknowledged(const Row *row, TimestampTz at)
{
	return time_of(row, COL_ACKNOWLEDGED_AT, DT_NOEND) != DT_NOEND &&
		   at < time_of(row, COL_ACKNOWLEDGED_UNTIL, DT_NOEND);
}

static void
read_alert(const Row *row, TimestampTz at, ObservAlert *out)
{
	int every = observ_evaluation_interval > 0 ? observ_evaluation_interval : DEFAULT_INTERVAL_S;
	bool isnull;

	out->alert_id = DatumGetInt64(column(row, COL_ALERT_ID, &isnull));
	out->rule_id = DatumGetInt64(column(row, COL_RULE_ID, &isnull));
	out->status = status_of(row);
	out->severity = severity_of(row);
	out->fingerprint = text_of(row, COL_FINGERPRINT);
	out->instance = text_of(row, COL_INSTANCE);
	out->app_name = text_of(row, COL_APP_NAME);
	out->labels = DatumGetJsonbPCopy(column(row, COL_LABELS, &isnull));
	out->name = name_of(row, out->labels);
	out->active_at = time_of(row, COL_ACTIVE_AT, DT_NOBEGIN);
	out->starts_at = time_of(row, COL_STARTS_AT, DT_NOBEGIN);
	out->ends_at = time_of(row, COL_ENDS_AT, DT_NOEND);
	out->sampled_at = time_of(row, COL_SAMPLED_AT, DT_NOBEGIN);
	out->for_us = usecs_of(row, COL_FOR, 0);
	out->interval_us = usecs_of(row, COL_INTERVAL, every * USECS_PER_SEC);
	out->reopen_us = usecs_of(row, COL_REOPEN_WINDOW, 0);
	out->reopened = DatumGetInt32(column(row, COL_REOPENED, &isnull));
	out->resolved_reason = text_of(row, COL_RESOLVED_REASON);
	out->flapping = DatumGetBool(column(row, COL_FLAPPING, &isnull));
	out->acknowledged = is_acknowledged(row, at);
	out->changes = DatumGetInt32(column(row, COL_CHANGES, &isnull));
}

ObservAlert *
observ_load_alerts(TimestampTz at, const char *where, int nargs, const Oid *types, const Datum *values,
				   int *n)
{
	char *sql = psprintf("%s%s ORDER BY a.alert_id", columns_sql, where);
	Portal portal =
		SPI_cursor_open_with_args(NULL, sql, nargs, (Oid *) types, (Datum *) values, NULL, true, 0);
	int room = FETCH_ROWS;
	ObservAlert *alerts = palloc_extended(room * sizeof(ObservAlert), MCXT_ALLOC_HUGE);

	*n = 0;
	for (;;) {
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		if (rows->numvals == 0)
			break;
		if (*n + (int) rows->numvals > room) {
			room *= 2;
			alerts = repalloc_huge(alerts, room * sizeof(ObservAlert));
		}
		for (uint64 i = 0; i < rows->numvals; i++) {
			Row row = {rows->vals[i], rows->tupdesc};

			read_alert(&row, at, &alerts[(*n)++]);
		}
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
	pfree(sql);
	return alerts;
}

/* A label that is a number or a boolean counts by its text, as in labelled metrics. */
static struct slice
label_text(Jsonb *labels, struct slice name)
{
	JsonbValue found;

	if (getKeyJsonValueFromContainer(&labels->root, name.p, (int) (name.end - name.p), &found) == NULL)
		return (struct slice){0};
	switch (found.type) {
	case jbvString:
		return (struct slice){found.val.string.val, found.val.string.val + found.val.string.len};
	case jbvNumeric:
		return slice_of(
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(found.val.numeric))));
	case jbvBool:
		return slice_of(found.val.boolean ? "true" : "false");
	default:
		return (struct slice){0};
	}
}

struct slice
observ_alert_label_in(Jsonb *labels, struct slice name)
{
	struct slice value = label_text(labels, name);

	return value.p == value.end && slice_equals(name, "instance") ? label_text(labels, slice_of("vps_name"))
																  : value;
}

bool
observ_is_test(Jsonb *labels)
{
	struct slice value = label_text(labels, slice_of(OBSERV_TEST_LABEL));

	return value.p < value.end;
}

struct slice
observ_alert_label(void *arg, struct slice name)
{
	const ObservAlert *alert = arg;

	return observ_alert_label_in(alert->labels, name);
}
