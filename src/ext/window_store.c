/*
 * Filling the store of samples and keeping it up to date.
 * What does not belong here: rows as samples (window_rows.c), what is made of samples (rule_vps_metrics.c, rule_health.c).
 *
 * A session that evaluates again and again keeps the store and reads only what arrived since. Whenever it can't be known to be whole it is thrown
 * away and filled anew, and every few minutes in any case: that also forgets samples and VPSs that nobody needs any more, so that nothing is ever
 * taken out of it one by one, and makes up for what the bookkeeping can't see (rows changed by hand).
 */
#include "postgres.h"

#include "ext/window_store.h"

#include "ext/arrivals.h"
#include "ext/recent_rows.h"
#include "ext/window_rows.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long a store is used: it holds samples of this far ahead of the time that it was filled for. Spread over sessions by up to a minute. */
#define LIFE        (5 * USECS_PER_MINUTE)
#define LIFE_SPREAD 60

/* Metrics needed for no longer than this are in the first and the second track. */
static const int64 track_spans[OBSERV_TRACKS - 1] = {15 * USECS_PER_MINUTE, 45 * USECS_PER_MINUTE};

typedef struct Store {
	ObservWindowData data; /* first */
	ObservRecentPart *parts;
	int n_parts;
	TimestampTz until_clock;  /* by the clock: not used later than this */
	TimestampTz safe;         /* rows received before are all there */
	SubTransactionId subxact; /* in which rows were read last; 0: in an earlier transaction */
} Store;

static Store stores[OBSERV_WINDOW_TABLES];

/*
 * Horizons of what has arrived, taken by earlier transactions of this session. One that was taken before this transaction began holds for every
 * snapshot of it: rows received before that are all visible.
 */
static struct {
	LocalTransactionId lxid; /* that took `taken` */
	TimestampTz taken;
	TimestampTz proven;
} horizons = {InvalidLocalTransactionId, DT_NOBEGIN, DT_NOBEGIN};

/* Takes note of the horizon for the next transaction; returns the one that holds for this one's snapshots. */
static TimestampTz
next_horizon(void)
{
	if (!observ_is_kept())
		return DT_NOBEGIN;
	if (horizons.lxid != MyProc->lxid) {
		horizons.proven = horizons.taken;
		horizons.lxid = MyProc->lxid;
	}
	horizons.taken = observ_arrival_horizon();
	return horizons.proven;
}

/* ---- which metrics, for how long */

/* What is worked out of every row needs no column of its own. */
static const struct rule_metric *
kept_as(const struct rule_metric *metric)
{
	return metric == NULL || metric->column == NULL ? NULL : metric;
}

static ObservWindowMetric *
metric_in(ObservWindowMetric *metrics, int n, const struct rule_metric *metric)
{
	for (int i = 0; i < n; i++)
		if (metrics[i].metric == metric)
			return &metrics[i];
	return NULL;
}

static int
add_need(ObservWindowMetric *metrics, int n, const struct rule_metric *metric, int64 back_us)
{
	ObservWindowMetric *known = metric_in(metrics, n, metric);

	if (known != NULL) {
		known->back_us = Max(known->back_us, back_us);
		return n;
	}
	metrics[n] = (ObservWindowMetric){.metric = metric, .back_us = back_us};
	return n + 1;
}

static int64
lookback(enum ObservWindowTable table)
{
	return table == OBSERV_WINDOW_HEALTH_CHECKS ? OBSERV_CHECK_LOOKBACK : OBSERV_LOOKBACK;
}

/* Whether the store has what is needed, as of that time. */
static bool
has_needs(Store *store, TimestampTz at, const ObservWindowNeed *needs, int n)
{
	const ObservWindowData *data = &store->data;

	if (at > data->windows.until || at - lookback(data->table) < data->windows.from[0])
		return false;
	for (int i = 0; i < n; i++) {
		const ObservWindowMetric *m = metric_in(data->metrics, data->n_metrics, kept_as(needs[i].metric));

		if (m == NULL || at - needs[i].back_us < data->windows.from[m->place.track])
			return false;
	}
	return true;
}

/* Needs of now, and those that the store served until now if it has to be filled anew before its time. */
static ObservWindowMetric *
gather(Store *store, enum ObservWindowTable table, TimestampTz at, const ObservWindowNeed *needs, int n,
	   int *n_metrics)
{
	const ObservWindowData *data = &store->data;
	bool early = data->kept.context != NULL && at <= data->windows.until && at >= data->windows.from[0];
	int old = early ? data->n_metrics : 0;
	ObservWindowMetric *metrics = palloc0(sizeof(ObservWindowMetric) * (1 + old + n));
	int used = add_need(metrics, 0, NULL, lookback(table));

	for (int i = 0; i < n; i++)
		used = add_need(metrics, used, kept_as(needs[i].metric), needs[i].back_us);
	for (int i = 0; i < old; i++)
		used = add_need(metrics, used, data->metrics[i].metric, data->metrics[i].back_us);
	*n_metrics = used;
	return metrics;
}

/* What is there of every row comes first, and is in track 0 whatever it is needed for. */
static void
place_metrics(ObservWindowData *data, TimestampTz at)
{
	int64 back[OBSERV_TRACKS] = {0, 0, 0};

	for (int i = 0; i < data->n_metrics; i++) {
		ObservWindowMetric *m = &data->metrics[i];
		int t = 0;

		while (m->metric != NULL && t < OBSERV_TRACKS - 1 && m->back_us > track_spans[t])
			t++;
		m->place = (ObservWindowPlace){t, data->windows.n_columns[t]++};
		back[t] = Max(back[t], m->back_us);
	}
	for (int t = 0; t < OBSERV_TRACKS; t++)
		data->windows.from[t] = at - back[t];
}

/* ---- filling */

static void
read_rows(Store *store, TimestampTz received)
{
	observ_window_read(&store->data, received);
	observ_kept_updated(&store->data.kept);
}

static void
fill(Store *store, enum ObservWindowTable table, TimestampTz at, const ObservWindowNeed *needs, int n)
{
	int n_metrics;
	ObservWindowMetric *metrics = gather(store, table, at, needs, n, &n_metrics);
	int64 life = LIFE + MyProcPid % LIFE_SPREAD * USECS_PER_SEC;
	TimestampTz safe = next_horizon();
	ObservWindowData *data = &store->data;

	observ_window_begin(data, table);
	data->metrics = MemoryContextAlloc(data->kept.context, sizeof(ObservWindowMetric) * n_metrics);
	memcpy(data->metrics, metrics, sizeof(ObservWindowMetric) * n_metrics);
	data->n_metrics = n_metrics;
	place_metrics(data, at);
	data->windows.until = at + life;
	store->until_clock = GetCurrentTransactionStartTimestamp() + life;
	store->safe = safe;
	read_rows(store, DT_NOBEGIN);
	observ_window_read_seldom(data, at);
	if (observ_is_kept()) {
		MemoryContext old = MemoryContextSwitchTo(data->kept.context);

		store->parts = observ_recent_parts(observ_window_tables[table], observ_window_oldest(data),
										   data->windows.until, &store->n_parts);
		MemoryContextSwitchTo(old);
	}
	pfree(metrics);
}

/* Whether the rows that have been read are still those that there are, but for new ones. */
static bool
is_whole(const Store *store)
{
	const ObservWindowData *data = &store->data;
	int n;
	ObservRecentPart *parts;
	bool same;

	if (!observ_is_kept() || GetCurrentTransactionStartTimestamp() > store->until_clock)
		return false;
	parts = observ_recent_parts(observ_window_tables[data->table], observ_window_oldest(data),
								data->windows.until, &n);
	same = n == store->n_parts && memcmp(parts, store->parts, sizeof(ObservRecentPart) * n) == 0;
	pfree(parts);
	return same;
}

const ObservWindows *
observ_windows(enum ObservWindowTable table, TimestampTz at, const ObservWindowNeed *needs, int n)
{
	Store *store = &stores[table];

	if (store->data.kept.context == NULL || !has_needs(store, at, needs, n))
		fill(store, table, at, needs, n);
	else if (!observ_kept_is_current(&store->data.kept)) {
		if (is_whole(store)) {
			TimestampTz from = store->safe;

			store->safe = next_horizon();
			read_rows(store, from);
		} else
			fill(store, table, at, needs, n);
	}
	return &store->data.windows;
}

/* ---- asking */

ObservWindowPlace
observ_window_place(const ObservWindows *windows, const struct rule_metric *metric)
{
	const ObservWindowData *data = (const ObservWindowData *) windows;

	return metric_in(data->metrics, data->n_metrics, kept_as(metric))->place;
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
