/*
 * From samples to rows of observ.metric_scrapes: the values that the series of one set have at one time are one row.
 * What does not belong here: how samples come in (metric_ingest.c, metric_json.c), which series they belong to (metric_series.c).
 */
#include "postgres.h"

#include "ext/metric_store.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/series.h"
#include "ext/gucs.h"
#include "ext/metric_labels.h"
#include "ext/metric_slots.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"

/* The rows come as a relation of their own, as a trigger's transition table does: arrays of arrays can't be unnested. */
#define ROWS_NAME "new_scrapes"

/* A row that is there is merged with what is new in it; received_at tells those who read what arrived. */
static const char insert_sql[] =
	"INSERT INTO observ.metric_scrapes AS s (\"timestamp\", vps_name, app_name, set_no, \"values\") "
	"SELECT r.\"timestamp\", $1, $2, r.set_no, r.\"values\" FROM " ROWS_NAME " r "
	"ON CONFLICT (vps_name, app_name, set_no, \"timestamp\") DO UPDATE SET "
	"  \"values\" = observ_data._merge_samples(s.\"values\", excluded.\"values\"), "
	"  received_at = clock_timestamp() "
	"WHERE observ_data._adds_samples(s.\"values\", excluded.\"values\")";

static const char quarantine_sql[] =
	"INSERT INTO observ.quarantine (vps_name, app_name, table_name, reason, \"row\") "
	"SELECT $1, $2, 'metric_scrapes', $3, jsonb_build_object('timestamp', x.\"timestamp\", 'metric_name', "
	"  x.metric_name, 'labels', x.labels, 'value', x.value) "
	"FROM unnest($4::timestamptz[], $5::text[], $6::jsonb[], $7::float8[]) x "
	"(\"timestamp\", metric_name, labels, value)";

static const char too_old[] = "timestamp is older than what observ.metric_scrapes takes";

static const char *
name_problem(const text *name, const char *too_long)
{
	return VARSIZE_ANY_EXHDR(name) > SERIES_NAME_MAX ? too_long : NULL;
}

const char *
observ_vps_name_problem(const text *vps_name)
{
	if (VARSIZE_ANY_EXHDR(vps_name) == 0)
		return "vps_name must not be empty";
	return name_problem(vps_name, "vps_name is longer than 255 bytes");
}

const char *
observ_app_name_problem(const text *app_name)
{
	return name_problem(app_name, "app_name is longer than 255 bytes");
}

void
observ_store_begin(ObservStore *store)
{
	*store = (ObservStore){.now = GetCurrentTimestamp()};
	store->partitions = observ_partitions_of("metric_scrapes", false, &store->n_partitions);
	observ_require_partition("metric_scrapes", store->now);
}

static bool
has_partition(const ObservStore *store, TimestampTz at)
{
	int low = 0, high = store->n_partitions;

	while (low < high) {
		int middle = (low + high) / 2;

		if (at < store->partitions[middle].range.from)
			high = middle;
		else if (at >= store->partitions[middle].range.to)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

static void
refuse(ObservSample *sample, int sqlstate, const char *problem)
{
	sample->problem = problem;
	sample->sqlstate = sqlstate;
}

/* Where in time the sample goes; its problem says why nowhere. */
static void
place(const ObservStore *store, ObservSample *sample, bool *clamped)
{
	*clamped = false;
	if (sample->problem != NULL)
		return;
	if (sample->metric_name == NULL)
		refuse(sample, ERRCODE_NULL_VALUE_NOT_ALLOWED, "metric_name must not be null");
	else if (!sample->has_value)
		refuse(sample, ERRCODE_NULL_VALUE_NOT_ALLOWED, "value must not be null");
	else if (!sample->has_time)
		refuse(sample, ERRCODE_NULL_VALUE_NOT_ALLOWED, "timestamp must not be null");
	else if (TIMESTAMP_NOT_FINITE(sample->at))
		refuse(sample, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "timestamp must be finite");
	else if (sample->at > store->now + observ_max_future_skew * USECS_PER_SEC) {
		sample->at = store->now;
		*clamped = true;
	} else if (!has_partition(store, sample->at)) {
		refuse(sample, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, too_old);
		sample->quarantined = true;
	}
}

/* Whether samples of a new series count something, by what was sent or by its name. */
static bool
is_counter(ObservSample *sample)
{
	struct slice kind;

	if (sample->kind == NULL)
		return series_is_counter(observ_text_slice(sample->metric_name));
	kind = observ_text_slice(sample->kind);
	if (!slice_equals(kind, "gauge") && !slice_equals(kind, "counter"))
		refuse(sample, ERRCODE_INVALID_PARAMETER_VALUE, "kind must be gauge or counter");
	return slice_equals(kind, "counter");
}

/* Finds the series of every sample that can have one. */
static void
identify(ObservStore *store, ObservSeriesSet *set, ObservSample *samples, int n)
{
	for (int i = 0; i < n; i++) {
		ObservSample *sample = &samples[i];
		const char *problem = NULL;
		bool clamped, counter;

		CHECK_FOR_INTERRUPTS();
		place(store, sample, &clamped);
		if (sample->problem != NULL)
			continue;
		counter = is_counter(sample);
		if (sample->problem == NULL)
			sample->series =
				observ_series_of(set, sample->metric_name, sample->labels, counter, sample->at, &problem);
		if (problem != NULL)
			refuse(sample, ERRCODE_INVALID_PARAMETER_VALUE, problem);
		if (sample->series == NULL)
			continue;
		store->done.clamped += clamped;
		store->done.nonfinite += !isfinite(sample->value);
	}
	if (hash_get_num_entries(set->by_id) > 0)
		observ_find_series(set);
	store->done.new_series += set->created;
	for (int i = 0; i < n; i++) {
		if (samples[i].series == NULL || samples[i].series->problem == NULL)
			continue;
		refuse(&samples[i], samples[i].series->sqlstate, samples[i].series->problem);
		samples[i].series = NULL;
	}
}

/* By row, then as they came. The order of the rows is that of their key: two that write the same don't wait in a circle. */
static int
by_row(const void *a, const void *b)
{
	const ObservSample *left = *(ObservSample *const *) a;
	const ObservSample *right = *(ObservSample *const *) b;

	if (left->series->set_no != right->series->set_no)
		return left->series->set_no < right->series->set_no ? -1 : 1;
	if (left->at != right->at)
		return left->at < right->at ? -1 : 1;
	return left < right ? -1 : left > right;
}

static TupleDesc
row_desc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(3);

	TupleDescInitEntry(desc, 1, "timestamp", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(desc, 2, "set_no", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 3, "values", FLOAT8ARRAYOID, -1, 1);
	return desc;
}

/* Makes a row of each run of samples that share set and time; returns how many samples they hold. */
static int64
make_rows(ObservSample **samples, int n, TupleDesc desc, Tuplestorestate *rows)
{
	int64 held = 0;

	for (int i = 0; i < n;) {
		const ObservSample *first = samples[i];
		ObservSlots slots = {0};
		bool nulls[3] = {false};
		Datum values[3];

		for (; i < n && samples[i]->at == first->at && samples[i]->series->set_no == first->series->set_no;
			 i++) {
			int slot = samples[i]->series->slot - 1;

			if (slots.known & (UINT64CONST(1) << slot))
				continue; /* the first of two stays */
			slots.known |= UINT64CONST(1) << slot;
			slots.values[slot] = samples[i]->value;
			held++;
		}
		values[0] = TimestampTzGetDatum(first->at);
		values[1] = Int32GetDatum(first->series->set_no);
		values[2] = PointerGetDatum(observ_slots_array(&slots));
		tuplestore_putvalues(rows, desc, values, nulls);
		pfree(DatumGetPointer(values[2]));
	}
	return held;
}

static void
insert_rows(ObservSeriesSet *set, TupleDesc desc, Tuplestorestate *rows)
{
	static SPIPlanPtr plan = NULL;
	EphemeralNamedRelationData relation = {
		.md = {.name = ROWS_NAME,
			   .tupdesc = desc,
			   .enrtype = ENR_NAMED_TUPLESTORE,
			   .enrtuples = (double) tuplestore_tuple_count(rows)},
		.reldata = rows,
	};
	Datum values[] = {PointerGetDatum(set->vps_name), PointerGetDatum(set->app_name)};
	int rc = SPI_register_relation(&relation);

	if (rc != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows of a scrape: %s", SPI_result_code_string(rc));
	observ_merge_begin();
	observ_spi_kept(&plan, SPI_OK_INSERT, insert_sql, 2, (Oid[]){TEXTOID, TEXTOID}, values, NULL);
	SPI_unregister_relation(ROWS_NAME);
}

/* Stores the samples that have a series. */
static void
store_identified(ObservStore *store, ObservSeriesSet *set, ObservSample *samples, int n)
{
	ObservSample **identified = palloc(sizeof(ObservSample *) * (n + 1));
	Tuplestorestate *rows;
	TupleDesc desc;
	int64 held;
	int m = 0;

	for (int i = 0; i < n; i++)
		if (samples[i].series != NULL)
			identified[m++] = &samples[i];
	if (m == 0)
		return;
	qsort(identified, m, sizeof(ObservSample *), by_row);
	rows = tuplestore_begin_heap(false, false, work_mem);
	desc = row_desc();
	held = make_rows(identified, m, desc, rows);
	insert_rows(set, desc, rows);
	tuplestore_end(rows);
	store->done.stored += held - observ_merge_duplicates();
	store->done.duplicates += m - held + observ_merge_duplicates();
}

static void
quarantine(ObservStore *store, ObservSeriesSet *set, ObservSample *samples, int n)
{
	static const Oid types[] = {TEXTOID,      TEXTOID,       TEXTOID,       TIMESTAMPTZARRAYOID,
								TEXTARRAYOID, JSONBARRAYOID, FLOAT8ARRAYOID};
	static SPIPlanPtr plan = NULL;
	Datum *at = palloc(sizeof(Datum) * (n + 1)), *name = palloc(sizeof(Datum) * (n + 1));
	Datum *labels = palloc(sizeof(Datum) * (n + 1)), *value = palloc(sizeof(Datum) * (n + 1));
	Datum none = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	Datum values[lengthof(types)];
	int m = 0;

	for (int i = 0; i < n; i++) {
		if (!samples[i].quarantined)
			continue;
		at[m] = TimestampTzGetDatum(samples[i].at);
		name[m] = PointerGetDatum(samples[i].metric_name);
		labels[m] = samples[i].labels ? PointerGetDatum(samples[i].labels) : none;
		value[m] = Float8GetDatum(samples[i].value);
		m++;
	}
	if (m == 0)
		return;
	values[0] = PointerGetDatum(set->vps_name);
	values[1] = PointerGetDatum(set->app_name);
	values[2] = CStringGetTextDatum(too_old);
	values[3] = observ_array(at, m, TIMESTAMPTZOID);
	values[4] = observ_array(name, m, TEXTOID);
	values[5] = observ_array(labels, m, JSONBOID);
	values[6] = observ_array(value, m, FLOAT8OID);
	observ_spi_kept(&plan, SPI_OK_INSERT, quarantine_sql, lengthof(types), types, values, NULL);
	store->done.quarantined += m;
}

static void
count_rejected(ObservStore *store, ObservSeriesSet *set, const ObservSample *samples, int n)
{
	const char *reason = NULL;
	int64 rejected = 0;

	for (int i = 0; i < n; i++) {
		if (samples[i].problem == NULL || samples[i].quarantined)
			continue;
		rejected++;
		reason = samples[i].problem;
	}
	store->done.rejected += rejected;
	if (rejected > 0)
		observ_count_rejected(set->vps_name, rejected, reason);
}

void
observ_store_samples(ObservStore *store, text *vps_name, text *app_name, ObservSample *samples, int n)
{
	ObservSeriesSet *set = observ_series_set(vps_name, app_name, n);
	int nest_level = observ_few_rows_begin();

	identify(store, set, samples, n);
	store_identified(store, set, samples, n);
	quarantine(store, set, samples, n);
	count_rejected(store, set, samples, n);
	observ_few_rows_end(nest_level);
	hash_destroy(set->by_id);
}

void
observ_stored_columns(const ObservStored *done, Datum *row)
{
	const int64 counts[OBSERV_STORED_COLUMNS] = {done->stored,      done->duplicates, done->rejected,
												 done->quarantined, done->clamped,    done->nonfinite,
												 done->new_series};

	for (int i = 0; i < OBSERV_STORED_COLUMNS; i++)
		row[i] = Int64GetDatum(counts[i]);
}
