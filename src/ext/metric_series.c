/*
 * Series of labelled metrics: their rows in observ.metric_series, and how many a VPS has.
 * What does not belong here: samples (metric_store.c), forgetting series (metric_expiry.c).
 *
 * Known series, the rule, cost one lookup for all of them and no lock. Once an hour their last_seen is moved, which locks their rows. New ones take
 * the lock of the VPS's row of observ.metric_usage until the transaction ends, so that no two get the same slot.
 *
 * A series may expire between the lookup and the commit of its samples. It can't harm: samples of a series that is about to expire are
 * more than OBSERV_LAST_SEEN_LAG later than its last_seen, so its row is locked here first, and who expires it passes over locked rows. A
 * row that is found expired or gone after all is looked for again under the lock of the VPS, which who expires it needs as well.
 */
#include "postgres.h"

#include "ext/metric_series.h"

#include "catalog/pg_type.h"
#include "ext/gucs.h"
#include "ext/metric_labels.h"
#include "ext/metric_slots.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char lookup_sql[] =
	"SELECT series_id, app_name, metric_name, labels, set_no, slot, first_seen, last_seen, "
	"  expired_at IS NOT NULL "
	"FROM observ.metric_series WHERE vps_name = $1 AND series_id = ANY ($2)";

/* Ordered, so that two who move the same rows don't wait for each other in a circle. */
static const char lock_sql[] = "SELECT series_id FROM observ.metric_series "
							   "WHERE vps_name = $1 AND series_id = ANY ($2) AND expired_at IS NULL ORDER BY "
							   "series_id FOR NO KEY UPDATE";

static const char move_sql[] =
	"UPDATE observ.metric_series s SET first_seen = least(s.first_seen, x.first_seen), "
	"  last_seen = greatest(s.last_seen, x.last_seen), expired_at = NULL "
	"FROM unnest($2::int8[], $3::timestamptz[], $4::timestamptz[]) x (series_id, first_seen, last_seen) "
	"WHERE s.vps_name = $1 AND s.series_id = x.series_id";

static const char lock_usage_sql[] =
	"SELECT series FROM observ.metric_usage WHERE vps_name = $1 FOR NO KEY UPDATE";

static const char add_usage_sql[] =
	"INSERT INTO observ.metric_usage (vps_name) VALUES ($1) ON CONFLICT (vps_name) DO NOTHING";

static const char count_usage_sql[] =
	"UPDATE observ.metric_usage SET series = series + $2 WHERE vps_name = $1";

static const char total_sql[] = "SELECT coalesce(sum(series), 0)::int8 FROM observ.metric_usage";

static const char slots_sql[] = "SELECT set_no, bit_or(1::int8 << (slot - 1)) FROM observ.metric_series "
								"WHERE vps_name = $1 AND app_name = $2 GROUP BY set_no ORDER BY set_no";

static const char insert_sql[] =
	"INSERT INTO observ.metric_series (vps_name, app_name, series_id, metric_name, labels, kind, set_no, "
	"  slot, first_seen, last_seen) "
	"SELECT $1, $2, x.* FROM unnest($3::int8[], $4::text[], $5::jsonb[], $6::text[], $7::int4[], $8::int2[], "
	"  $9::timestamptz[], $10::timestamptz[]) x";

static const char rejected_sql[] =
	"INSERT INTO observ.metric_usage AS u (vps_name, rejected, last_rejected_at, last_rejected_reason) "
	"VALUES ($1, $2, clock_timestamp(), $3) ON CONFLICT (vps_name) DO UPDATE SET "
	"rejected = u.rejected + excluded.rejected, last_rejected_at = excluded.last_rejected_at, "
	"last_rejected_reason = excluded.last_rejected_reason";

/* Some series of a set. */
typedef struct SeriesList {
	ObservSeries **items;
	int n;
} SeriesList;

ObservSeriesSet *
observ_series_set(text *vps_name, text *app_name, int expected)
{
	HASHCTL ctl = {.keysize = sizeof(int64), .entrysize = sizeof(ObservSeries), .hcxt = CurrentMemoryContext};
	ObservSeriesSet *set = palloc0(sizeof(ObservSeriesSet));

	set->vps_name = vps_name;
	set->app_name = app_name;
	set->by_id = hash_create("observ series", Max(expected, 8), &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return set;
}

static bool
same_series(const ObservSeries *series, const text *metric_name, Jsonb *labels)
{
	return observ_text_compare(series->metric_name, metric_name) == 0 &&
		   compareJsonbContainers(&series->labels->root, &labels->root) == 0;
}

static const char *
collision(int64 id)
{
	return psprintf("another series has the same number, " INT64_FORMAT " (hash collision)", id);
}

ObservSeries *
observ_series_of(ObservSeriesSet *set, text *metric_name, Jsonb *given, bool counter, TimestampTz at,
				 const char **problem)
{
	struct slice name = observ_text_slice(metric_name);
	ObservLabels labels;
	ObservSeries *series;
	bool found;
	int64 id;

	*problem = series_name_problem(name);
	if (*problem == NULL)
		*problem = observ_read_labels(given, &labels);
	if (*problem != NULL)
		return NULL;
	id = series_id(observ_text_slice(set->vps_name), observ_text_slice(set->app_name), name, labels.items,
				   labels.n);
	series = hash_search(set->by_id, &id, HASH_ENTER, &found);
	if (!found) {
		*series = (ObservSeries){.id = id,
								 .metric_name = metric_name,
								 .labels = labels.json,
								 .counter = counter,
								 .first = at,
								 .last = at};
		return series;
	}
	if (!same_series(series, metric_name, labels.json)) {
		*problem = collision(id);
		return NULL;
	}
	series->first = Min(series->first, at);
	series->last = Max(series->last, at);
	return series;
}

static bool
lacks_slot(const ObservSeries *series)
{
	return series->problem == NULL && (series->slot == 0 || series->expired);
}

static bool
has_moved(const ObservSeries *series)
{
	return series->problem == NULL && !lacks_slot(series) &&
		   (series->last > series->last_seen + OBSERV_LAST_SEEN_LAG || series->first < series->first_seen);
}

static bool
any_series(const ObservSeries *series)
{
	return true;
}

static int
by_id(const void *a, const void *b)
{
	const ObservSeries *left = *(ObservSeries *const *) a;
	const ObservSeries *right = *(ObservSeries *const *) b;

	return left->id < right->id ? -1 : left->id > right->id;
}

/* The series of the set of which that is true, in the order of their numbers. */
static SeriesList
select_series(ObservSeriesSet *set, bool (*wanted)(const ObservSeries *))
{
	SeriesList list = {.items = palloc(sizeof(ObservSeries *) * (hash_get_num_entries(set->by_id) + 1))};
	HASH_SEQ_STATUS seq;
	ObservSeries *series;

	hash_seq_init(&seq, set->by_id);
	while ((series = hash_seq_search(&seq)) != NULL)
		if (wanted(series))
			list.items[list.n++] = series;
	qsort(list.items, list.n, sizeof(ObservSeries *), by_id);
	return list;
}

static Datum
ids_of(SeriesList list)
{
	Datum *ids = palloc(sizeof(Datum) * (list.n + 1));

	for (int i = 0; i < list.n; i++)
		ids[i] = Int64GetDatum(list.items[i]->id);
	return observ_array(ids, list.n, INT8OID);
}

/* Takes over what one row of lookup_sql says of its series. */
static void
take_row(ObservSeriesSet *set, uint64 row)
{
	bool isnull;
	int64 id = DatumGetInt64(observ_spi_value(row, 1, &isnull));
	ObservSeries *series = hash_search(set->by_id, &id, HASH_FIND, NULL);

	if (series == NULL)
		return;
	if (observ_text_compare(DatumGetTextPP(observ_spi_value(row, 2, &isnull)), set->app_name) != 0 ||
		!same_series(series, DatumGetTextPP(observ_spi_value(row, 3, &isnull)),
					 DatumGetJsonbP(observ_spi_value(row, 4, &isnull)))) {
		series->problem = collision(id);
		series->sqlstate = ERRCODE_UNIQUE_VIOLATION;
		return;
	}
	series->set_no = DatumGetInt32(observ_spi_value(row, 5, &isnull));
	series->slot = DatumGetInt16(observ_spi_value(row, 6, &isnull));
	series->first_seen = DatumGetTimestampTz(observ_spi_value(row, 7, &isnull));
	series->last_seen = DatumGetTimestampTz(observ_spi_value(row, 8, &isnull));
	series->expired = DatumGetBool(observ_spi_value(row, 9, &isnull));
}

static void
look_up(ObservSeriesSet *set, SeriesList list)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {PointerGetDatum(set->vps_name), ids_of(list)};
	uint64 n;

	for (int i = 0; i < list.n; i++) {
		list.items[i]->slot = 0;
		list.items[i]->expired = false;
	}
	n = observ_spi_kept(&plan, SPI_OK_SELECT, lookup_sql, 2, (Oid[]){TEXTOID, INT8ARRAYOID}, values, NULL);
	for (uint64 row = 0; row < n; row++)
		take_row(set, row);
	SPI_freetuptable(SPI_tuptable);
}

/* Brings first_seen and last_seen of series that have rows up to the samples at hand; they are no longer expired. */
static void
move_series(ObservSeriesSet *set, SeriesList list)
{
	static SPIPlanPtr plan = NULL;
	Datum *first = palloc(sizeof(Datum) * (list.n + 1));
	Datum *last = palloc(sizeof(Datum) * (list.n + 1));
	Datum values[4] = {PointerGetDatum(set->vps_name), ids_of(list)};

	if (list.n == 0)
		return;
	for (int i = 0; i < list.n; i++) {
		first[i] = TimestampTzGetDatum(list.items[i]->first);
		last[i] = TimestampTzGetDatum(list.items[i]->last);
		list.items[i]->expired = false;
	}
	values[2] = observ_array(first, list.n, TIMESTAMPTZOID);
	values[3] = observ_array(last, list.n, TIMESTAMPTZOID);
	observ_spi_kept(&plan, SPI_OK_UPDATE, move_sql, 4,
					(Oid[]){TEXTOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}, values, NULL);
}

/*
 * Locks the rows of those series whose times have to be moved, and moves them. A series whose row is not there any more, or expired, has
 * no slot afterwards.
 */
static void
move_what_moved(ObservSeriesSet *set)
{
	static SPIPlanPtr plan = NULL;
	SeriesList list = select_series(set, has_moved);
	Datum values[] = {PointerGetDatum(set->vps_name), ids_of(list)};
	SeriesList there = {.items = palloc(sizeof(ObservSeries *) * (list.n + 1))};
	uint64 n;

	if (list.n == 0)
		return;
	n = observ_spi_kept(&plan, SPI_OK_SELECT, lock_sql, 2, (Oid[]){TEXTOID, INT8ARRAYOID}, values, NULL);
	for (int i = 0; i < list.n; i++) {
		bool isnull;

		/* Both are in the order of the numbers. */
		if (there.n < (int) n && DatumGetInt64(observ_spi_value(there.n, 1, &isnull)) == list.items[i]->id)
			there.items[there.n++] = list.items[i];
		else
			list.items[i]->slot = 0;
	}
	SPI_freetuptable(SPI_tuptable);
	move_series(set, there);
}

/* Locks the VPS against others who make series of it; returns how many it has. */
static int64
lock_usage(ObservSeriesSet *set)
{
	static SPIPlanPtr lock_plan = NULL;
	static SPIPlanPtr add_plan = NULL;
	Datum values[] = {PointerGetDatum(set->vps_name)};
	Oid types[] = {TEXTOID};
	bool isnull;

	if (observ_spi_kept(&lock_plan, SPI_OK_SELECT, lock_usage_sql, 1, types, values, NULL) == 0) {
		observ_spi_kept(&add_plan, SPI_OK_INSERT, add_usage_sql, 1, types, values, NULL);
		if (observ_spi_kept(&lock_plan, SPI_OK_SELECT, lock_usage_sql, 1, types, values, NULL) == 0)
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("could not lock a row of observ.metric_usage"),
							errdetail("It was made by a transaction that began later than this one."),
							errhint("Try again.")));
	}
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

/* How many series all VPSs have; others may be adding to it. */
static int64
total_series(void)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;

	observ_spi_kept(&plan, SPI_OK_SELECT, total_sql, 0, NULL, NULL, NULL);
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

/* By name and labels: what is read together lies together. */
static int
by_name(const void *a, const void *b)
{
	ObservSeries *left = *(ObservSeries *const *) a;
	ObservSeries *right = *(ObservSeries *const *) b;
	int order = observ_text_compare(left->metric_name, right->metric_name);

	return order != 0 ? order : compareJsonbContainers(&left->labels->root, &right->labels->root);
}

/* Gives each of the series the lowest free slot of the VPS and application. */
static void
assign_slots(ObservSeriesSet *set, SeriesList list)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {PointerGetDatum(set->vps_name), PointerGetDatum(set->app_name)};
	uint64 n = observ_spi_kept(&plan, SPI_OK_SELECT, slots_sql, 2, (Oid[]){TEXTOID, TEXTOID}, values, NULL);
	uint64 row = 0;
	int i = 0;

	for (int set_no = 1; i < list.n; set_no++) {
		uint64 taken = 0;
		bool isnull;

		while (row < n && DatumGetInt32(observ_spi_value(row, 1, &isnull)) < set_no)
			row++;
		if (row < n && DatumGetInt32(observ_spi_value(row, 1, &isnull)) == set_no)
			taken = (uint64) DatumGetInt64(observ_spi_value(row, 2, &isnull));
		while (taken != PG_UINT64_MAX && i < list.n) {
			int slot = pg_rightmost_one_pos64(~taken);

			taken |= UINT64CONST(1) << slot;
			list.items[i]->set_no = set_no;
			list.items[i]->slot = slot + 1;
			i++;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
insert_series(ObservSeriesSet *set, SeriesList list)
{
	static const Oid elements[] = {INT8OID, TEXTOID, JSONBOID,       TEXTOID,
								   INT4OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	static const Oid types[] = {
		TEXTOID,      TEXTOID,      INT8ARRAYOID, TEXTARRAYOID,        JSONBARRAYOID,
		TEXTARRAYOID, INT4ARRAYOID, INT2ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID};
	static SPIPlanPtr plan = NULL;
	Datum *columns[lengthof(elements)];
	Datum values[lengthof(types)] = {PointerGetDatum(set->vps_name), PointerGetDatum(set->app_name)};
	Datum gauge = CStringGetTextDatum("gauge");
	Datum counter = CStringGetTextDatum("counter");

	if (list.n == 0)
		return;
	for (size_t c = 0; c < lengthof(elements); c++)
		columns[c] = palloc(sizeof(Datum) * list.n);
	for (int i = 0; i < list.n; i++) {
		const ObservSeries *series = list.items[i];

		columns[0][i] = Int64GetDatum(series->id);
		columns[1][i] = PointerGetDatum(series->metric_name);
		columns[2][i] = PointerGetDatum(series->labels);
		columns[3][i] = series->counter ? counter : gauge;
		columns[4][i] = Int32GetDatum(series->set_no);
		columns[5][i] = Int16GetDatum((int16) series->slot);
		columns[6][i] = TimestampTzGetDatum(series->first);
		columns[7][i] = TimestampTzGetDatum(series->last);
	}
	for (size_t c = 0; c < lengthof(elements); c++)
		values[2 + c] = observ_array(columns[c], list.n, elements[c]);
	observ_spi_kept(&plan, SPI_OK_INSERT, insert_sql, lengthof(types), types, values, NULL);
}

/* Refuses those of the list that one of the limits has no room for; what remains is its beginning. */
static void
apply_limits(ObservSeriesSet *set, SeriesList *list, int64 series_of_vps)
{
	int64 room = Max(observ_max_series_per_vps - series_of_vps, 0);
	const char *problem = NULL;

	if (room < list->n)
		problem = psprintf("VPS \"%s\" has reached observ.max_series_per_vps, %d",
						   text_to_cstring(set->vps_name), observ_max_series_per_vps);
	if (room > 0) {
		int64 room_in_all = Max(observ_max_series - total_series(), 0);

		if (room_in_all < Min(room, list->n))
			problem = psprintf("all VPSs together have reached observ.max_series, %d", observ_max_series);
		room = Min(room, room_in_all);
	}
	for (int i = (int) Min(room, list->n); i < list->n; i++) {
		list->items[i]->problem = problem;
		list->items[i]->sqlstate = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
	}
	list->n = (int) Min(room, list->n);
}

/* Makes the series that lack a slot, and takes back those that have expired. The VPS is locked. */
static void
admit(ObservSeriesSet *set, int64 series_of_vps)
{
	static SPIPlanPtr plan = NULL;
	SeriesList list = select_series(set, lacks_slot);
	SeriesList new = {.items = palloc(sizeof(ObservSeries *) * (list.n + 1))};
	SeriesList back = {.items = palloc(sizeof(ObservSeries *) * (list.n + 1))};
	Datum values[2] = {PointerGetDatum(set->vps_name)};

	if (list.n == 0)
		return;
	qsort(list.items, list.n, sizeof(ObservSeries *), by_name);
	apply_limits(set, &list, series_of_vps);
	for (int i = 0; i < list.n; i++) {
		if (list.items[i]->slot == 0)
			new.items[new.n++] = list.items[i];
		else
			back.items[back.n++] = list.items[i];
	}
	if (new.n > 0)
		assign_slots(set, new);
	insert_series(set, new);
	move_series(set, back);
	if (list.n > 0) {
		values[1] = Int64GetDatum(list.n);
		observ_spi_kept(&plan, SPI_OK_UPDATE, count_usage_sql, 2, (Oid[]){TEXTOID, INT8OID}, values, NULL);
	}
	set->created += list.n;
}

void
observ_find_series(ObservSeriesSet *set)
{
	int64 series_of_vps = -1; /* not locked */
	SeriesList unknown;

	look_up(set, select_series(set, any_series));
	unknown = select_series(set, lacks_slot);
	if (unknown.n > 0) {
		series_of_vps = lock_usage(set);
		look_up(set, unknown);
	}
	move_what_moved(set);
	unknown = select_series(set, lacks_slot);
	if (unknown.n == 0)
		return;
	if (series_of_vps < 0) {
		series_of_vps = lock_usage(set);
		look_up(set, unknown);
	}
	admit(set, series_of_vps);
}

void
observ_count_rejected(text *vps_name, int64 n, const char *reason)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {PointerGetDatum(vps_name), Int64GetDatum(n), CStringGetTextDatum(reason)};

	observ_spi_kept(&plan, SPI_OK_INSERT, rejected_sql, 3, (Oid[]){TEXTOID, INT8OID, TEXTOID}, values, NULL);
}
