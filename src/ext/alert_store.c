/*
 * Alerts of an evaluation in memory: reading them, finding them by instance. What does not belong here: writing them (alert_write.c).
 */
#include "postgres.h"

#include "ext/alert_store.h"

#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/alert_text.h"
#include "ext/spi_util.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FETCH_ROWS 2000

typedef struct InstanceKey {
	int64 rule_id;
	const ObservInstance *instance;
} InstanceKey;

typedef struct LiveEntry {
	InstanceKey key;
	ObservLiveAlert *alert;
	uint32 hash;
	char status;
} LiveEntry;

static inline const char *
or_empty(const char *s)
{
	return s == NULL ? "" : s;
}

static inline uint32
hash_key(const InstanceKey *key)
{
	return (uint32) hash_finish(key->instance->hash ^
								(uint64) key->rule_id * UINT64CONST(0x9e3779b97f4a7c15));
}

static inline bool
same_key(const InstanceKey *a, const InstanceKey *b)
{
	const ObservInstance *x = a->instance, *y = b->instance;

	if (a->rule_id != b->rule_id || x->hash != y->hash || x->n_labels != y->n_labels ||
		strcmp(or_empty(x->vps_name), or_empty(y->vps_name)) != 0 ||
		strcmp(or_empty(x->app_name), or_empty(y->app_name)) != 0)
		return false;
	for (int i = 0; i < x->n_labels; i++)
		if (slice_compare(x->labels[i].name, y->labels[i].name) != 0 ||
			slice_compare(x->labels[i].value, y->labels[i].value) != 0)
			return false;
	return true;
}

#define SH_PREFIX          live
#define SH_ELEMENT_TYPE    LiveEntry
#define SH_KEY_TYPE        InstanceKey
#define SH_KEY             key
#define SH_HASH_KEY(tb, k) hash_key(&(k))
#define SH_EQUAL(tb, a, b) same_key(&(a), &(b))
#define SH_SCOPE           static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, e) (e)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* What rows are read by: columns of ALERT_COLUMNS, in that order. */
#define ALERT_COLUMNS                                                                                        \
	"a.alert_id, a.rule_id, a.fingerprint, a.status, a.severity::text, a.identity, a.value, a.peak_value, "  \
	"a.sampled_at, a.active_at, a.starts_at, a.keep_since, a.missing_since, a.ends_at, a.stale, "            \
	"a.reopened, "                                                                                           \
	"a.flap_history, a.flap_at, a.flapping, a.changes, a.resolved_reason, a.resolved_by IS NOT NULL, "       \
	"a.acknowledged_at IS NOT NULL, coalesce(a.acknowledged_sticky, false)"

static const char live_sql[] =
	"SELECT " ALERT_COLUMNS " FROM observ.alerts a WHERE a.status <> 'resolved' "
	"UNION ALL SELECT " ALERT_COLUMNS " FROM observ.alerts a WHERE a.flapping AND a.status = 'resolved'";

/* A look into the index per fingerprint: nothing here lets the planner go by ends_at, and compare all fingerprints with all that ended lately. */
static const char previous_sql[] =
	"SELECT " ALERT_COLUMNS " FROM (SELECT DISTINCT f FROM unnest($1) f) asked, LATERAL ("
	"SELECT * FROM observ.alerts e WHERE e.fingerprint = asked.f AND e.ends_at IS NOT NULL "
	"ORDER BY e.ends_at DESC, e.alert_id DESC LIMIT 1) a WHERE a.ends_at >= $2";

ObservAlertStore *
observ_alert_store(MemoryContext context)
{
	ObservAlertStore *store = MemoryContextAllocZero(context, sizeof(ObservAlertStore));

	store->context = context;
	store->by_instance = live_create(context, 1024, NULL);
	return store;
}

static ObservLiveAlert *
add(ObservAlertStore *store)
{
	ObservLiveAlert *alert = MemoryContextAllocZero(store->context, sizeof(ObservLiveAlert));

	if (store->n == store->room) {
		store->room = store->room == 0 ? 64 : store->room * 2;
		store->all = store->all == NULL
						 ? MemoryContextAllocHuge(store->context, sizeof(ObservLiveAlert *) * store->room)
						 : repalloc_huge(store->all, sizeof(ObservLiveAlert *) * store->room);
	}
	store->all[store->n++] = alert;
	alert->value = alert->peak = alert->told_value = get_float8_nan();
	alert->sampled_at = alert->told_sampled_at = DT_NOBEGIN;
	alert->state.active_at = alert->state.fired_at = alert->state.keep_since = alert->state.missing_since =
		alert->state.ended_at = alert->state.flap_at = ALERT_NEVER;
	return alert;
}

static int
number_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("unexpected value in observ.alerts: \"%s\"", name)));
}

/* Values of the row that is being read, in order. */
typedef struct Row {
	uint64 row;
	int column;
} Row;

static Datum
next_value(Row *row, bool *isnull)
{
	return observ_spi_value(row->row, ++row->column, isnull);
}

static int64
next_int8(Row *row)
{
	bool isnull;

	return DatumGetInt64(next_value(row, &isnull));
}

static int32
next_int4(Row *row)
{
	bool isnull;

	return DatumGetInt32(next_value(row, &isnull));
}

static bool
next_bool(Row *row)
{
	bool isnull;

	return DatumGetBool(next_value(row, &isnull));
}

static double
next_float8(Row *row)
{
	bool isnull;
	Datum value = next_value(row, &isnull);

	return isnull ? get_float8_nan() : DatumGetFloat8(value);
}

static TimestampTz
next_time(Row *row)
{
	bool isnull;
	Datum value = next_value(row, &isnull);

	return isnull ? ALERT_NEVER : DatumGetTimestampTz(value);
}

static char *
next_text(Row *row)
{
	bool isnull;
	Datum value = next_value(row, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* A row of ALERT_COLUMNS. */
static ObservLiveAlert *
read_row(ObservAlertStore *store, uint64 number)
{
	MemoryContext before = MemoryContextSwitchTo(store->context);
	ObservLiveAlert *alert = add(store);
	Row row = {number, 0};
	char *name;
	bool isnull;
	Datum identity;

	alert->stored = true;
	alert->alert_id = next_int8(&row);
	alert->rule_id = next_int8(&row);
	alert->fingerprint = next_text(&row);
	name = next_text(&row);
	alert->state.status = number_of(name, alert_status_names, ALERT_RESOLVED + 1);
	pfree(name);
	name = next_text(&row);
	alert->severity = number_of(name, observ_severity_names, lengthof(observ_severity_names));
	pfree(name);
	identity = next_value(&row, &isnull);
	if (!observ_instance_of(DatumGetJsonbP(identity), &alert->instance))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("identity of alert %lld is not an object", (long long) alert->alert_id)));
	alert->value = next_float8(&row);
	alert->peak = next_float8(&row);
	alert->sampled_at = next_time(&row);
	alert->state.active_at = next_time(&row);
	alert->state.fired_at = next_time(&row);
	alert->state.keep_since = next_time(&row);
	alert->state.missing_since = next_time(&row);
	alert->state.ended_at = next_time(&row);
	alert->state.stale = next_bool(&row);
	alert->reopened = next_int4(&row);
	alert->state.flap_history = next_int4(&row);
	alert->state.flap_at = next_time(&row);
	alert->state.flapping = next_bool(&row);
	alert->changes = alert->read_changes = next_int4(&row);
	alert->reason = next_text(&row);
	alert->by_hand = next_bool(&row);
	alert->acknowledged = next_bool(&row);
	alert->sticky = next_bool(&row);
	alert->read_sampled_at = alert->sampled_at;
	alert->overflow = alert->instance.vps_name == NULL && alert->instance.n_labels == 1 &&
					  slice_equals(alert->instance.labels[0].name, "summary") &&
					  slice_equals(alert->instance.labels[0].value, "overflow");
	MemoryContextSwitchTo(before);
	return alert;
}

void
observ_read_alerts(ObservAlertStore *store)
{
	static SPIPlanPtr plan = NULL;
	Portal portal = SPI_cursor_open(NULL, observ_spi_keep(&plan, live_sql, 0, NULL), NULL, NULL, true);

	for (;;) {
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			observ_enter_alert(store, read_row(store, i));
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

ObservLiveAlert *
observ_find_alert(ObservAlertStore *store, int64 rule_id, const ObservInstance *instance)
{
	LiveEntry *entry =
		live_lookup(store->by_instance, (InstanceKey){.rule_id = rule_id, .instance = instance});

	return entry == NULL ? NULL : entry->alert;
}

/* What is live goes before what is merely flapping still. */
void
observ_enter_alert(ObservAlertStore *store, ObservLiveAlert *alert)
{
	bool found;
	LiveEntry *entry = live_insert(
		store->by_instance, (InstanceKey){.rule_id = alert->rule_id, .instance = &alert->instance}, &found);

	if (found && alert->state.status == ALERT_RESOLVED && entry->alert->state.status != ALERT_RESOLVED)
		return;
	entry->key.instance = &alert->instance;
	entry->alert = alert;
}

ObservLiveAlert *
observ_new_alert(ObservAlertStore *store, ObservRule *rule, const ObservInstance *instance)
{
	MemoryContext before = MemoryContextSwitchTo(store->context);
	ObservLiveAlert *alert = add(store);

	alert->rule_id = rule->rule_id;
	alert->rule = rule;
	alert->severity = rule->severity;
	alert->instance = observ_copy_instance(instance);
	MemoryContextSwitchTo(before);
	return alert;
}

void
observ_find_previous(ObservAlertStore *store, ObservLiveAlert **alerts, int n, TimestampTz since)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum *fingerprints = palloc(sizeof(Datum) * Max(n, 1));
	Datum values[2];
	int asked = 0, nest_level;
	uint64 found;

	for (int i = 0; i < n; i++) {
		if (alerts[i]->previous != NULL)
			continue;
		if (alerts[i]->fingerprint == NULL) {
			MemoryContext before = MemoryContextSwitchTo(store->context);

			alerts[i]->fingerprint = observ_fingerprint(alerts[i]->rule_id, &alerts[i]->instance);
			MemoryContextSwitchTo(before);
		}
		fingerprints[asked++] = CStringGetTextDatum(alerts[i]->fingerprint);
	}
	if (asked == 0)
		return;
	values[0] = observ_array(fingerprints, asked, TEXTOID);
	values[1] = TimestampTzGetDatum(since);
	nest_level = observ_few_rows_begin();
	found = observ_spi_read(&plan, previous_sql, 2, types, values, NULL);
	observ_few_rows_end(nest_level);
	for (uint64 row = 0; row < found; row++) {
		ObservLiveAlert *previous = read_row(store, row);
		ObservLiveAlert *alert = observ_find_alert(store, previous->rule_id, &previous->instance);

		if (alert != NULL && alert->previous == NULL && alert != previous)
			alert->previous = previous;
	}
	SPI_freetuptable(SPI_tuptable);
}

void
observ_note_event(ObservAlertStore *store, const ObservAlertEvent *event)
{
	if (store->n_events == store->events_room) {
		store->events_room = store->events_room == 0 ? 64 : store->events_room * 2;
		store->events =
			store->events == NULL
				? MemoryContextAllocHuge(store->context, sizeof(ObservAlertEvent) * store->events_room)
				: repalloc_huge(store->events, sizeof(ObservAlertEvent) * store->events_room);
	}
	store->events[store->n_events++] = *event;
}
