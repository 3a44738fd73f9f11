/*
 * Filling the store of samples and keeping it up to date.
 * What does not belong here: how rows are found (recent_rows.c), what is made of samples (rule_vps_metrics.c).
 *
 * A session that evaluates again and again keeps the store and reads only what arrived since. Whenever it can't be known to be whole it is thrown
 * away and filled anew, and every few minutes in any case: that also forgets samples and VPSs that nobody needs any more, so that nothing is ever
 * taken out of it one by one, and makes up for what the bookkeeping can't see (rows changed by hand).
 */
#include "postgres.h"

#include "ext/window_store.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/arrivals.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "ext/recent_rows.h"
#include "ext/rollup_sources.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How long a store is used: it holds samples of this far ahead of the time that it was filled for. Spread over sessions by up to a minute. */
#define LIFE        (5 * USECS_PER_MINUTE)
#define LIFE_SPREAD 60

/* Metrics needed for no longer than this are in the first and the second track. */
static const int64 track_spans[OBSERV_TRACKS - 1] = {15 * USECS_PER_MINUTE, 45 * USECS_PER_MINUTE};

#define FIRST_ROOM 16

typedef struct Metric {
	const struct rule_metric *metric; /* NULL: the interval of the row */
	int64 back_us;
	ObservWindowPlace place;
} Metric;

/* What a snapshot sees, as far as two of one transaction or session can differ. */
typedef struct Sight {
	TransactionId xmin, xmax;
	uint32 xcnt;
	CommandId curcid;
	LocalTransactionId lxid;
} Sight;

typedef struct Store {
	ObservWindows windows; /* first: what others see of it */
	MemoryContext context; /* NULL: there is no store */
	HTAB *keys;
	int room;
	bool unsorted;
	Metric *metrics;
	int n_metrics;
	ObservRecentPart *parts;
	int n_parts;
	TimestampTz until_clock;  /* by the clock: not used later than this */
	Sight sight;              /* of its latest rows */
	TimestampTz safe;         /* rows received before are all there */
	SubTransactionId subxact; /* in which rows were read last; 0: in an earlier transaction */
} Store;

static Store store;

/*
 * Horizons of what has arrived, taken by earlier transactions of this session. One that was taken before this transaction began holds for every
 * snapshot of it: rows received before that are all visible.
 */
static struct {
	LocalTransactionId lxid; /* that took `taken` */
	TimestampTz taken;
	TimestampTz proven;
} horizons = {InvalidLocalTransactionId, DT_NOBEGIN, DT_NOBEGIN};

/* ---- keeping and throwing away */

static void
throw_away(void)
{
	if (store.context != NULL)
		MemoryContextDelete(store.context);
	store = (Store){0};
}

/* Whether rows that arrive are added to what is there. */
static bool
is_kept(void)
{
	return !IsolationUsesXactSnapshot() &&
		   (observ_evaluation_cache == OBSERV_CACHE_ON ||
			(observ_evaluation_cache == OBSERV_CACHE_AUTO && MyBackendType == B_BG_WORKER &&
			 MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_type, OBSERV_SCHEDULER) == 0));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event) {
	case XACT_EVENT_ABORT:
	case XACT_EVENT_PREPARE:
		/* Rows of the transaction itself may be in it. */
		if (store.subxact != InvalidSubTransactionId)
			throw_away();
		break;
	case XACT_EVENT_COMMIT:
		if (!is_kept())
			throw_away();
		store.subxact = InvalidSubTransactionId;
		break;
	default:
		break;
	}
}

/* A subtransaction that began after rows were read last has put none into the store. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && id <= store.subxact)
		throw_away();
}

static void
register_callbacks(void)
{
	static bool done = false;

	if (done)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	done = true;
}

static Sight
current_sight(void)
{
	Snapshot snapshot = GetActiveSnapshot();

	return (Sight){snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->curcid, MyProc->lxid};
}

static bool
same_sight(const Sight *a, const Sight *b)
{
	return a->xmin == b->xmin && a->xmax == b->xmax && a->xcnt == b->xcnt && a->curcid == b->curcid &&
		   a->lxid == b->lxid;
}

/* Takes note of the horizon for the next transaction; returns the one that holds for this one's snapshots. */
static TimestampTz
next_horizon(void)
{
	if (!is_kept())
		return DT_NOBEGIN;
	if (horizons.lxid != MyProc->lxid) {
		horizons.proven = horizons.taken;
		horizons.lxid = MyProc->lxid;
	}
	horizons.taken = observ_arrival_horizon();
	return horizons.proven;
}

/* ---- samples */

int
observ_track_newest(const ObservTrack *track, TimestampTz at)
{
	int i = track->n - 1;

	while (i >= 0 && track->times[i] > at)
		i--;
	return i;
}

static void
make_room(ObservTrack *track, int columns)
{
	int room = Max(2 * track->room, FIRST_ROOM);
	Size values = sizeof(float4) * columns * (Size) room;

	if (track->room == 0) {
		track->times = MemoryContextAlloc(store.context, sizeof(TimestampTz) * room);
		track->values = MemoryContextAllocHuge(store.context, values);
	} else {
		track->times = repalloc_huge(track->times, sizeof(TimestampTz) * room);
		track->values = repalloc_huge(track->values, values);
	}
	track->room = room;
}

/* A new sample of that time, to be filled in; NULL when there is one already. */
static float4 *
new_sample(ObservTrack *track, int columns, TimestampTz at)
{
	int i = observ_track_newest(track, at) + 1;

	if (i > 0 && track->times[i - 1] == at)
		return NULL;
	if (track->n == track->room)
		make_room(track, columns);
	if (i < track->n) {
		memmove(&track->times[i + 1], &track->times[i], sizeof(TimestampTz) * (track->n - i));
		memmove(track->values + (Size) (i + 1) * columns, track->values + (Size) i * columns,
				sizeof(float4) * columns * (track->n - i));
	}
	track->n++;
	track->times[i] = at;
	return track->values + (Size) i * columns;
}

static ObservWindowKey *
key_of(Datum vps, Datum app)
{
	ObservVpsKey key = observ_vps_key(vps, app);
	bool found;
	ObservWindowKey *entry = hash_search(store.keys, &key, HASH_ENTER, &found);
	char *names;

	if (found)
		return entry;
	/* The names must live as long as the entry: the same bytes, so it stays where it is. */
	names = MemoryContextAlloc(store.context, key.vps_len + key.app_len + 2);
	memcpy(names, key.vps, key.vps_len);
	names[key.vps_len] = '\0';
	memcpy(names + key.vps_len + 1, key.app, key.app_len);
	names[key.vps_len + 1 + key.app_len] = '\0';
	entry->key = (ObservVpsKey){names, names + key.vps_len + 1, key.vps_len, key.app_len};
	memset(&entry->hash, 0, sizeof(*entry) - offsetof(ObservWindowKey, hash));
	if (store.windows.n_keys == store.room) {
		store.room *= 2;
		store.windows.keys = repalloc_huge(store.windows.keys, sizeof(ObservWindowKey *) * store.room);
	}
	store.windows.keys[store.windows.n_keys++] = entry;
	store.unsorted = true;
	return entry;
}

/* Value of a metric in a row: its column is number 2 * i of those read, its divisor the next one. */
static float4
value_of(const struct rule_metric *metric, const ObservRecent *recent, int i, const Datum *values,
		 const bool *nulls)
{
	int column = recent->columns[2 * i] - 1, divisor = recent->columns[2 * i + 1] - 1;
	double value;

	if (nulls[column])
		return NAN;
	value = recent->types[2 * i] == FLOAT4OID ? DatumGetFloat4(values[column])
											  : observ_measurement(values[column], recent->types[2 * i]);
	if (divisor >= 0) {
		double by = nulls[divisor] ? 0 : observ_measurement(values[divisor], recent->types[2 * i + 1]);

		return by != 0 ? value / by : NAN;
	}
	return metric != NULL && metric->complement ? 100 - value : value;
}

/* Adds a row to the tracks that want it; `always`: to all of them, however old it is. */
static void
add_row(const ObservRecent *recent, const Datum *values, const bool *nulls, TimestampTz at, bool always)
{
	ObservWindowKey *key = key_of(values[recent->vps - 1], values[recent->app - 1]);
	float4 *samples[OBSERV_TRACKS];
	bool any = false;

	for (int t = 0; t < OBSERV_TRACKS; t++) {
		int columns = store.windows.n_columns[t];

		samples[t] = columns > 0 && (always || at > store.windows.from[t])
						 ? new_sample(&key->tracks[t], columns, at)
						 : NULL;
		any |= samples[t] != NULL;
	}
	for (int i = 0; any && i < store.n_metrics; i++) {
		const Metric *metric = &store.metrics[i];

		if (samples[metric->place.track] != NULL)
			samples[metric->place.track][metric->place.column] =
				value_of(metric->metric, recent, i, values, nulls);
	}
}

static void
take(ObservRecent *recent, TupleTableSlot *slot, TimestampTz timestamp)
{
	add_row(recent, slot->tts_values, slot->tts_isnull, timestamp, false);
}

/* ---- which metrics, for how long */

static Metric *
metric_in(Metric *metrics, int n, const struct rule_metric *metric)
{
	for (int i = 0; i < n; i++)
		if (metrics[i].metric == metric)
			return &metrics[i];
	return NULL;
}

static int
add_need(Metric *metrics, int n, const struct rule_metric *metric, int64 back_us)
{
	Metric *known = metric_in(metrics, n, metric);

	if (known != NULL) {
		known->back_us = Max(known->back_us, back_us);
		return n;
	}
	metrics[n] = (Metric){.metric = metric, .back_us = back_us};
	return n + 1;
}

/* Whether the store has what is needed, as of that time. */
static bool
has_needs(TimestampTz at, const ObservWindowNeed *needs, int n)
{
	if (at > store.windows.until || at - OBSERV_LOOKBACK < store.windows.from[0])
		return false;
	for (int i = 0; i < n; i++) {
		const Metric *metric = metric_in(store.metrics, store.n_metrics, needs[i].metric);

		if (metric == NULL || at - needs[i].back_us < store.windows.from[metric->place.track])
			return false;
	}
	return true;
}

/* Needs of now, and those that the store served until now if it has been thrown away before its time. */
static Metric *
gather(TimestampTz at, const ObservWindowNeed *needs, int n, int *n_metrics)
{
	bool early = store.context != NULL && at <= store.windows.until && at >= store.windows.from[0];
	int old = early ? store.n_metrics : 0;
	Metric *metrics = palloc0(sizeof(Metric) * (1 + old + n));
	int used = add_need(metrics, 0, NULL, OBSERV_LOOKBACK);

	for (int i = 0; i < n; i++)
		used = add_need(metrics, used, needs[i].metric, needs[i].back_us);
	for (int i = 0; i < old; i++)
		used = add_need(metrics, used, store.metrics[i].metric, store.metrics[i].back_us);
	*n_metrics = used;
	return metrics;
}

static void
place_metrics(TimestampTz at)
{
	int64 back[OBSERV_TRACKS] = {OBSERV_LOOKBACK, 0, 0};

	for (int i = 0; i < store.n_metrics; i++) {
		Metric *metric = &store.metrics[i];
		int t = 0;

		while (t < OBSERV_TRACKS - 1 && metric->back_us > track_spans[t])
			t++;
		metric->place = (ObservWindowPlace){t, store.windows.n_columns[t]++};
		back[t] = Max(back[t], metric->back_us);
	}
	for (int t = 0; t < OBSERV_TRACKS; t++)
		store.windows.from[t] = at - back[t];
}

/* ---- reading */

static int
compare_keys(const void *a, const void *b)
{
	const ObservVpsKey *left = &(*(ObservWindowKey *const *) a)->key;
	const ObservVpsKey *right = &(*(ObservWindowKey *const *) b)->key;
	int order = strcmp(left->vps, right->vps);

	return order != 0 ? order : strcmp(left->app, right->app);
}

static void
sort_keys(void)
{
	if (store.unsorted)
		qsort(store.windows.keys, store.windows.n_keys, sizeof(ObservWindowKey *), compare_keys);
	store.unsorted = false;
}

static void
name_columns(const char **names)
{
	for (int i = 0; i < store.n_metrics; i++) {
		const struct rule_metric *metric = store.metrics[i].metric;

		names[2 * i] = metric == NULL ? "interval_ms" : metric->column;
		names[2 * i + 1] = metric == NULL ? NULL : metric->divisor;
	}
}

static TimestampTz
oldest(void)
{
	TimestampTz from = store.windows.from[0];

	for (int t = 1; t < OBSERV_TRACKS; t++)
		if (store.windows.n_columns[t] > 0)
			from = Min(from, store.windows.from[t]);
	return from;
}

static void
read_rows(TimestampTz received)
{
	const char *names[OBSERV_RECENT_COLUMNS];
	ObservRecent recent = {.table = "vps_metrics",
						   .after = oldest(),
						   .until = store.windows.until,
						   .received = received,
						   .names = names,
						   .n = 2 * store.n_metrics,
						   .take = take};

	name_columns(names);
	observ_recent_rows(&recent);
	sort_keys();
	store.sight = current_sight();
	store.subxact = GetCurrentSubTransactionId();
}

/* Rows of VPSs that report so seldom that 3 intervals are longer than what has been read. */
static char *
slow_query(const char **names)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT m.\"timestamp\", m.vps_name, m.app_name");
	for (int i = 0; i < 2 * store.n_metrics; i++)
		if (names[i] != NULL)
			appendStringInfo(&sql, ", m.%s", quote_identifier(names[i]));
	appendStringInfoString(
		&sql, " FROM (SELECT e.vps_name, least(3 * max(e.every), interval '30 days') AS back FROM "
			  "(SELECT v.vps_name, v.expected_interval AS every FROM observ.vps v "
			  "WHERE v.expected_interval IS NOT NULL AND v.status <> 'retired' "
			  "UNION ALL SELECT f.vps_name, f.interval_ms * interval '1 ms' FROM observ.fleet_summary f "
			  "WHERE f.interval_ms > $3) e "
			  "WHERE 3 * e.every > $2 - $1 GROUP BY 1) slow "
			  "CROSS JOIN LATERAL (SELECT * FROM observ.vps_metrics r WHERE r.vps_name = slow.vps_name "
			  "AND r.\"timestamp\" > $2 - slow.back AND r.\"timestamp\" <= $1 OFFSET 0) m");
	return sql.data;
}

static void
read_slow(TimestampTz at)
{
	const char *names[OBSERV_RECENT_COLUMNS];
	TimestampTz from = store.windows.from[0];
	int64 ms = (at - from) / 3000;
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(at),
					  Int32GetDatum((int32) Min(ms, PG_INT32_MAX))};
	ObservRecent recent = {.timestamp = 1, .vps = 2, .app = 3, .n = 2 * store.n_metrics};
	int nest_level = observ_few_rows_begin(), next = 4;
	TupleDesc desc;
	Datum *row;
	bool *nulls;

	name_columns(names);
	if (SPI_execute_with_args(slow_query(names), lengthof(types), types, values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read rows of VPSs that report seldom");
	observ_few_rows_end(nest_level);
	desc = SPI_tuptable->tupdesc;
	for (int i = 0; i < recent.n; i++)
		if (names[i] != NULL) {
			recent.types[i] = TupleDescAttr(desc, next - 1)->atttypid;
			recent.columns[i] = next++;
		}
	row = palloc(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	for (uint64 i = 0; i < SPI_processed; i++) {
		heap_deform_tuple(SPI_tuptable->vals[i], desc, row, nulls);
		add_row(&recent, row, nulls, DatumGetTimestampTz(row[0]), true);
	}
	SPI_freetuptable(SPI_tuptable);
	sort_keys();
}

static void
fill(TimestampTz at, const ObservWindowNeed *needs, int n)
{
	int n_metrics;
	Metric *metrics = gather(at, needs, n, &n_metrics);
	int64 life = LIFE + MyProcPid % LIFE_SPREAD * USECS_PER_SEC;
	TimestampTz safe = next_horizon();
	MemoryContext old;

	throw_away();
	store.context = AllocSetContextCreate(TopMemoryContext, "observ samples", ALLOCSET_DEFAULT_SIZES);
	/* Until it is whole it belongs to this subtransaction, whose end throws it away. */
	store.subxact = GetCurrentSubTransactionId();
	old = MemoryContextSwitchTo(store.context);
	store.keys = observ_vps_table_create("observ samples", sizeof(ObservWindowKey), 1024);
	store.room = 1024;
	store.windows.keys = palloc(sizeof(ObservWindowKey *) * store.room);
	store.metrics = palloc(sizeof(Metric) * n_metrics);
	memcpy(store.metrics, metrics, sizeof(Metric) * n_metrics);
	store.n_metrics = n_metrics;
	MemoryContextSwitchTo(old);
	place_metrics(at);
	store.windows.until = at + life;
	store.until_clock = GetCurrentTransactionStartTimestamp() + life;
	store.safe = safe;
	read_rows(DT_NOBEGIN);
	read_slow(at);
	if (is_kept()) {
		old = MemoryContextSwitchTo(store.context);
		store.parts = observ_recent_parts("vps_metrics", oldest(), store.windows.until, &store.n_parts);
		MemoryContextSwitchTo(old);
	}
	pfree(metrics);
}

/* Whether the rows that have been read are still those that there are, but for new ones. */
static bool
is_whole(void)
{
	int n;
	ObservRecentPart *parts;
	bool same;

	if (!is_kept() || GetCurrentTransactionStartTimestamp() > store.until_clock)
		return false;
	parts = observ_recent_parts("vps_metrics", oldest(), store.windows.until, &n);
	same = n == store.n_parts && memcmp(parts, store.parts, sizeof(ObservRecentPart) * n) == 0;
	pfree(parts);
	return same;
}

const ObservWindows *
observ_windows(TimestampTz at, const ObservWindowNeed *needs, int n)
{
	Sight sight = current_sight();

	register_callbacks();
	if (store.context == NULL || !has_needs(at, needs, n))
		fill(at, needs, n);
	else if (!same_sight(&sight, &store.sight)) {
		if (is_whole()) {
			TimestampTz from = store.safe;

			store.safe = next_horizon();
			read_rows(from);
		} else
			fill(at, needs, n);
	}
	return &store.windows;
}

/* ---- asking */

ObservWindowPlace
observ_window_place(const ObservWindows *windows, const struct rule_metric *metric)
{
	return metric_in(store.metrics, store.n_metrics, metric)->place;
}

int
observ_windows_of(const ObservWindows *windows, const char *vps_name, int *n)
{
	int low = 0, high = windows->n_keys;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (strcmp(windows->keys[middle]->key.vps, vps_name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*n = 0;
	while (low + *n < windows->n_keys && strcmp(windows->keys[low + *n]->key.vps, vps_name) == 0)
		(*n)++;
	return low;
}

Size
observ_windows_memory(void)
{
	return store.context == NULL ? 0 : MemoryContextMemAllocated(store.context, true);
}
