/*
 * Rows of raw tables as samples.
 * What does not belong here: how long samples are kept and when they are read anew (window_store.c).
 */
#include "postgres.h"

#include "ext/window_rows.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/recent_rows.h"
#include "ext/rollup_sources.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FIRST_ROOM 16

/* A check with fewer samples than this is one that is made seldom, or new … */
#define FEW_CHECKS 10
/* … of which so many are looked up. */
#define SELDOM_CHECKS "50"

const char *const observ_window_tables[OBSERV_WINDOW_TABLES] = {"vps_metrics", "health_checks"};

/* Columns of the row beside those of metrics. */
enum CheckColumn { CHECK_URL, CHECK_INCONCLUSIVE, CHECK_COLUMNS };
static const char *const check_columns[CHECK_COLUMNS] = {"url", "inconclusive"};

/* ---- tracks */

int
observ_track_newest(const ObservTrack *track, TimestampTz at)
{
	int i = track->n - 1;

	while (i >= 0 && track->times[i] > at)
		i--;
	return i;
}

static void
make_room(ObservWindowData *data, ObservTrack *track, int columns)
{
	int room = Max(2 * track->room, FIRST_ROOM);
	Size values = sizeof(float4) * columns * (Size) room;

	if (track->room == 0) {
		track->times = MemoryContextAllocHuge(data->kept.context, sizeof(TimestampTz) * room);
		track->values = MemoryContextAllocHuge(data->kept.context, values);
	} else {
		track->times = repalloc_huge(track->times, sizeof(TimestampTz) * room);
		track->values = repalloc_huge(track->values, values);
	}
	track->room = room;
}

/* A new sample of that time, to be filled in; NULL when there is one already. */
static float4 *
new_sample(ObservWindowData *data, ObservTrack *track, int columns, TimestampTz at)
{
	int i = observ_track_newest(track, at) + 1;

	if (i > 0 && track->times[i - 1] == at)
		return NULL;
	if (track->n == track->room)
		make_room(data, track, columns);
	if (i < track->n) {
		memmove(&track->times[i + 1], &track->times[i], sizeof(TimestampTz) * (track->n - i));
		memmove(track->values + (Size) (i + 1) * columns, track->values + (Size) i * columns,
				sizeof(float4) * columns * (track->n - i));
	}
	track->n++;
	track->times[i] = at;
	return track->values + (Size) i * columns;
}

/* ---- keys */

void
observ_window_begin(ObservWindowData *data, enum ObservWindowTable table)
{
	MemoryContext old;
	ObservKept kept;

	observ_keep(&data->kept, observ_window_tables[table]);
	kept = data->kept;
	*data = (ObservWindowData){.table = table, .kept = kept};
	old = MemoryContextSwitchTo(data->kept.context);
	data->keys = observ_vps_table_create("observ samples", sizeof(ObservWindowKey), 1024);
	data->room = 1024;
	data->windows.keys = palloc(sizeof(ObservWindowKey *) * data->room);
	MemoryContextSwitchTo(old);
}

/* A new entry: its names must live as long as it does. They are the same bytes, so it stays where it is. */
static void
begin_key(ObservWindowData *data, ObservWindowKey *entry, const ObservVpsKey *key, int name_len)
{
	char *names = MemoryContextAlloc(data->kept.context, key->vps_len + key->app_len + 2);
	char *app = names + key->vps_len + 1;

	memcpy(names, key->vps, key->vps_len);
	names[key->vps_len] = '\0';
	memcpy(app, key->app, key->app_len);
	app[key->app_len] = '\0';
	memset(entry, 0, sizeof(*entry));
	entry->key = (ObservVpsKey){names, app, key->vps_len, key->app_len};
	if (data->table == OBSERV_WINDOW_HEALTH_CHECKS)
		entry->url = app + name_len + 1;
	if (data->windows.n_keys == data->room) {
		data->room *= 2;
		data->windows.keys = repalloc_huge(data->windows.keys, sizeof(ObservWindowKey *) * data->room);
	}
	data->windows.keys[data->windows.n_keys++] = entry;
	data->unsorted = true;
}

/* Asks for the memory that a row of this key will be written to. */
static void
expect(const ObservWindowData *data, const ObservWindowKey *key)
{
	const ObservTrack *track = &key->tracks[0];

	__builtin_prefetch(key->next);
	__builtin_prefetch(key->key.vps);
	__builtin_prefetch(track->times + track->n);
	__builtin_prefetch(track->values + (Size) track->n * data->windows.n_columns[0]);
}

static bool
is_key(const ObservWindowKey *entry, const ObservVpsKey *key)
{
	return entry->key.vps_len == key->vps_len && entry->key.app_len == key->app_len &&
		   memcmp(entry->key.vps, key->vps, key->vps_len) == 0 &&
		   memcmp(entry->key.app, key->app, key->app_len) == 0;
}

/*
 * The entry of a key, a new one if need be. Who reports at the same interval reports in about the same order each time, so the one that followed the
 * last time is looked at first: a look into the table is the most expensive part of a row.
 */
static ObservWindowKey *
find_key(ObservWindowData *data, const ObservVpsKey *key, int name_len)
{
	ObservWindowKey *latest = data->latest, *entry = latest != NULL ? latest->next : NULL;
	bool found = true;

	if (entry == NULL || !is_key(entry, key)) {
		entry = hash_search(data->keys, key, HASH_ENTER, &found);
		if (!found)
			begin_key(data, entry, key, name_len);
		if (latest != NULL)
			latest->next = entry;
	}
	data->latest = entry;
	if (entry->next != NULL)
		expect(data, entry->next);
	return entry;
}

/* The key of a row. Of a check the application is followed by a null byte and the url. */
static ObservWindowKey *
key_of(ObservWindowData *data, Datum vps, Datum app, Datum url)
{
	ObservVpsKey key = observ_vps_key(vps, app);
	int name_len = key.app_len;
	char buffer[512], *joined = NULL;
	ObservWindowKey *entry;

	if (data->table == OBSERV_WINDOW_HEALTH_CHECKS) {
		ObservVpsKey check = observ_vps_key(url, (Datum) 0);
		int len = name_len + 1 + check.vps_len;

		joined = len > (int) sizeof(buffer) ? palloc(len) : buffer;
		memcpy(joined, key.app, name_len);
		joined[name_len] = '\0';
		memcpy(joined + name_len + 1, check.vps, check.vps_len);
		key.app = joined;
		key.app_len = len;
	}
	entry = find_key(data, &key, name_len);
	if (joined != NULL && joined != buffer)
		pfree(joined);
	return entry;
}

static int
compare_keys(const void *a, const void *b)
{
	const ObservWindowKey *left = *(ObservWindowKey *const *) a, *right = *(ObservWindowKey *const *) b;
	int order = strcmp(left->key.vps, right->key.vps);

	if (order == 0)
		order = strcmp(left->key.app, right->key.app);
	return order != 0 || left->url == NULL ? order : strcmp(left->url, right->url);
}

static void
sort_keys(ObservWindowData *data)
{
	ObservWindowKey **keys = data->windows.keys;

	if (!data->unsorted)
		return;
	qsort(keys, data->windows.n_keys, sizeof(ObservWindowKey *), compare_keys);
	for (int i = 0; i < data->windows.n_keys; i++)
		keys[i]->same_vps = i > 0 && strcmp(keys[i - 1]->key.vps, keys[i]->key.vps) == 0;
	data->unsorted = false;
}

/* ---- rows: the column of metric i is number 2 * i of those read, its divisor the next one; after them what else is needed */

static float4
value_of_vps(const ObservWindowMetric *m, const ObservRecent *recent, int i, const Datum *values,
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
	return m->metric != NULL && m->metric->complement ? 100 - value : value;
}

static float4
value_of_check(const ObservWindowMetric *m, const ObservRecent *recent, int i, const Datum *values,
			   const bool *nulls)
{
	int column = recent->columns[2 * i] - 1;
	int inconclusive = recent->columns[recent->n - CHECK_COLUMNS + CHECK_INCONCLUSIVE] - 1;

	if (nulls[column])
		return NAN;
	if (recent->types[2 * i] == TIMESTAMPTZOID)
		return (double) (DatumGetTimestampTz(values[column]) -
						 DatumGetTimestampTz(values[recent->timestamp - 1])) /
			   USECS_PER_DAY;
	if (!nulls[inconclusive] && DatumGetBool(values[inconclusive]))
		return NAN;
	if (m->metric == NULL)
		return DatumGetBool(values[column]) ? 1 : 0;
	return observ_measurement(values[column], recent->types[2 * i]);
}

/* Adds a row to the tracks that want it; `always`: to all of them, however old it is. */
static void
add_row(ObservWindowData *data, const ObservRecent *recent, const Datum *values, const bool *nulls,
		TimestampTz at, bool always)
{
	bool checks = data->table == OBSERV_WINDOW_HEALTH_CHECKS;
	ObservWindowKey *key =
		key_of(data, values[recent->vps - 1], values[recent->app - 1],
			   checks ? values[recent->columns[recent->n - CHECK_COLUMNS + CHECK_URL] - 1] : (Datum) 0);
	float4 *samples[OBSERV_TRACKS];
	bool any = false;

	for (int t = 0; t < OBSERV_TRACKS; t++) {
		int columns = data->windows.n_columns[t];

		samples[t] = columns > 0 && (always || at > data->windows.from[t])
						 ? new_sample(data, &key->tracks[t], columns, at)
						 : NULL;
		any |= samples[t] != NULL;
	}
	for (int i = 0; any && i < data->n_metrics; i++) {
		const ObservWindowMetric *m = &data->metrics[i];

		if (samples[m->place.track] != NULL)
			samples[m->place.track][m->place.column] = checks ? value_of_check(m, recent, i, values, nulls)
															  : value_of_vps(m, recent, i, values, nulls);
	}
}

/* Returns how many. */
static int
name_columns(const ObservWindowData *data, const char **names)
{
	bool checks = data->table == OBSERV_WINDOW_HEALTH_CHECKS;
	int n = 0;

	for (int i = 0; i < data->n_metrics; i++) {
		const struct rule_metric *metric = data->metrics[i].metric;

		names[n++] = metric != NULL ? metric->column : checks ? "success" : "interval_ms";
		names[n++] = metric != NULL ? metric->divisor : NULL;
	}
	for (int i = 0; checks && i < CHECK_COLUMNS; i++)
		names[n++] = check_columns[i];
	return n;
}

TimestampTz
observ_window_oldest(const ObservWindowData *data)
{
	TimestampTz from = data->windows.from[0];

	for (int t = 1; t < OBSERV_TRACKS; t++)
		if (data->windows.n_columns[t] > 0)
			from = Min(from, data->windows.from[t]);
	return from;
}

static void
take(ObservRecent *recent, TupleTableSlot *slot, TimestampTz timestamp)
{
	add_row(recent->arg, recent, slot->tts_values, slot->tts_isnull, timestamp, false);
}

void
observ_window_read(ObservWindowData *data, TimestampTz received)
{
	const char *names[OBSERV_RECENT_COLUMNS];
	ObservRecent recent = {.table = observ_window_tables[data->table],
						   .after = observ_window_oldest(data),
						   .until = data->windows.until,
						   .received = received,
						   .names = names,
						   .n = name_columns(data, names),
						   .take = take,
						   .arg = data};

	observ_recent_rows(&recent);
	sort_keys(data);
}

/* ---- what reports seldom */

/* $1 where the samples begin, $2 time, $3 a third of the time between, in ms. */
static const char seldom_vps_sql[] =
	" FROM (SELECT e.vps_name, least(3 * max(e.every), interval '30 days') AS back FROM "
	"(SELECT v.vps_name, v.expected_interval AS every FROM observ.vps v "
	"WHERE v.expected_interval IS NOT NULL AND v.status <> 'retired' "
	"UNION ALL SELECT f.vps_name, f.interval_ms * interval '1 ms' FROM observ.fleet_summary f "
	"WHERE f.interval_ms > $3) e "
	"WHERE 3 * e.every > $2 - $1 GROUP BY 1) seldom "
	"CROSS JOIN LATERAL (SELECT * FROM observ.vps_metrics r WHERE r.vps_name = seldom.vps_name "
	"AND r.\"timestamp\" > $2 - seldom.back AND r.\"timestamp\" <= $1 OFFSET 0) m";

/* $1 where the samples begin, $2 to $4 checks. */
static const char seldom_check_sql[] =
	" FROM unnest($2, $3, $4) seldom (vps_name, app_name, url) "
	"CROSS JOIN LATERAL (SELECT * FROM observ.health_checks r WHERE r.vps_name = seldom.vps_name AND "
	"r.app_name = seldom.app_name AND r.url = seldom.url AND r.\"timestamp\" <= $1 AND r.\"timestamp\" > $1 "
	"- "
	"interval '7 days' ORDER BY r.\"timestamp\" DESC LIMIT " SELDOM_CHECKS ") m";

/* Runs a query of whole rows and adds them all. */
static void
add_rows_of(ObservWindowData *data, const char *from_clause, int nargs, const Oid *types, const Datum *values)
{
	const char *names[OBSERV_RECENT_COLUMNS];
	ObservRecent recent = {.timestamp = 1, .vps = 2, .app = 3, .n = name_columns(data, names)};
	int nest_level = observ_few_rows_begin(), next = 4;
	StringInfoData sql;
	SPITupleTable *rows;
	uint64 n;
	Datum *row;
	bool *nulls;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT m.\"timestamp\", m.vps_name, m.app_name");
	for (int i = 0; i < recent.n; i++)
		if (names[i] != NULL) {
			appendStringInfo(&sql, ", m.%s", quote_identifier(names[i]));
			recent.columns[i] = next++;
		}
	appendStringInfoString(&sql, from_clause);
	n = observ_spi(SPI_OK_SELECT, sql.data, nargs, types, values, NULL);
	observ_few_rows_end(nest_level);
	rows = SPI_tuptable;
	for (int i = 0; i < recent.n; i++)
		if (names[i] != NULL)
			recent.types[i] = TupleDescAttr(rows->tupdesc, recent.columns[i] - 1)->atttypid;
	row = palloc(sizeof(Datum) * next);
	nulls = palloc(sizeof(bool) * next);
	for (uint64 i = 0; i < n; i++) {
		heap_deform_tuple(rows->vals[i], rows->tupdesc, row, nulls);
		add_row(data, &recent, row, nulls, DatumGetTimestampTz(row[0]), true);
	}
	SPI_freetuptable(rows);
}

static void
read_seldom_vps(ObservWindowData *data, TimestampTz at)
{
	TimestampTz from = data->windows.from[0];
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(at),
					  Int32GetDatum((int32) Min((at - from) / 3000, PG_INT32_MAX))};

	add_rows_of(data, seldom_vps_sql, lengthof(types), types, values);
}

/* Names of checks, as arrays. */
typedef struct Checks {
	Datum *names[3];
	int n;
} Checks;

static void
add_check(Checks *checks, const ObservWindowKey *key)
{
	checks->names[0][checks->n] = CStringGetTextDatum(key->key.vps);
	checks->names[1][checks->n] = CStringGetTextDatum(key->key.app);
	checks->names[2][checks->n] = CStringGetTextDatum(key->url);
	checks->n++;
}

/* Checks that the latest results know and the samples don't get a key, so that they are seen to have few samples. */
static void
add_known_checks(ObservWindowData *data)
{
	static SPIPlanPtr plan = NULL;
	static const char sql[] = "SELECT l.vps_name, l.app_name, l.url FROM observ_data.health_latest l WHERE "
							  "l.checked_at <= $1 OR l.checked_at > $2";
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(data->windows.from[0]), TimestampTzGetDatum(data->windows.until)};
	uint64 n = observ_spi_read(&plan, sql, lengthof(types), types, values, NULL);
	bool isnull;

	for (uint64 i = 0; i < n; i++)
		key_of(data, observ_spi_value(i, 1, &isnull), observ_spi_value(i, 2, &isnull),
			   observ_spi_value(i, 3, &isnull));
	SPI_freetuptable(SPI_tuptable);
}

static void
read_seldom_checks(ObservWindowData *data)
{
	const ObservWindows *windows = &data->windows;
	Checks checks = {.n = 0};
	Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum values[4] = {TimestampTzGetDatum(windows->from[0])};

	add_known_checks(data);
	for (int i = 0; i < 3; i++)
		checks.names[i] = palloc_extended(sizeof(Datum) * Max(windows->n_keys, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < windows->n_keys; i++)
		if (windows->keys[i]->tracks[0].n < FEW_CHECKS)
			add_check(&checks, windows->keys[i]);
	if (checks.n == 0)
		return;
	for (int i = 0; i < 3; i++)
		values[i + 1] = observ_array(checks.names[i], checks.n, TEXTOID);
	add_rows_of(data, seldom_check_sql, lengthof(types), types, values);
}

void
observ_window_read_seldom(ObservWindowData *data, TimestampTz at)
{
	if (data->table == OBSERV_WINDOW_HEALTH_CHECKS)
		read_seldom_checks(data);
	else
		read_seldom_vps(data, at);
	sort_keys(data);
}
