/*
 * observ.insert_samples() and observ.record_metric(): samples as arrays, and one by hand.
 * What does not belong here: JSON (metric_json.c), storing (metric_store.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/caller.h"
#include "ext/compat.h"
#include "ext/metric_store.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_insert_samples);
OBSERV_SQL_FUNCTION(observ_record_metric);

enum SamplesArgument { ARG_VPS_NAME, ARG_APP_NAME, ARG_AT, ARG_NAMES, ARG_LABELS, ARG_VALUES, ARG_KINDS };

/* The elements of an array argument; none, when it is NULL. */
typedef struct Elements {
	const char *name;
	Datum *values;
	bool *nulls;
	int n;
} Elements;

static Elements
elements_of(FunctionCallInfo fcinfo, int argument, const char *name)
{
	Elements e = {.name = name};
	ArrayType *array;
	int16 length;
	bool by_value;
	char align;

	if (PG_ARGISNULL(argument))
		return e;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align, &e.values, &e.nulls, &e.n);
	return e;
}

static void
require_length(const Elements *e, int n)
{
	if (e->n != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays of samples must have the same number of elements"),
				 errdetail("metric_names has %d, %s has %d.", n, e->name, e->n),
				 strcmp(e->name, "at") == 0 ? errhint("One time for all samples is an array of one.") : 0));
}

static bool
has_element(const Elements *e, int i)
{
	return i < e->n && !e->nulls[i];
}

/* The samples that the arrays describe; *n receives how many. */
static ObservSample *
samples_of(FunctionCallInfo fcinfo, int *n)
{
	Elements at = elements_of(fcinfo, ARG_AT, "at");
	Elements names = elements_of(fcinfo, ARG_NAMES, "metric_names");
	Elements labels = elements_of(fcinfo, ARG_LABELS, "labels");
	Elements values = elements_of(fcinfo, ARG_VALUES, "values");
	Elements kinds = elements_of(fcinfo, ARG_KINDS, "kinds");
	ObservSample *samples = palloc0(sizeof(ObservSample) * (names.n + 1));

	if (at.n != 1)
		require_length(&at, names.n);
	require_length(&values, names.n);
	if (!PG_ARGISNULL(ARG_LABELS))
		require_length(&labels, names.n);
	if (!PG_ARGISNULL(ARG_KINDS))
		require_length(&kinds, names.n);
	for (int i = 0; i < names.n; i++) {
		ObservSample *sample = &samples[i];
		int t = at.n == 1 ? 0 : i;

		sample->has_time = has_element(&at, t);
		sample->at = sample->has_time ? DatumGetTimestampTz(at.values[t]) : 0;
		sample->has_value = has_element(&values, i);
		sample->value = sample->has_value ? DatumGetFloat8(values.values[i]) : 0;
		sample->metric_name = has_element(&names, i) ? DatumGetTextPP(names.values[i]) : NULL;
		sample->labels = has_element(&labels, i) ? DatumGetJsonbP(labels.values[i]) : NULL;
		sample->kind = has_element(&kinds, i) ? DatumGetTextPP(kinds.values[i]) : NULL;
	}
	*n = names.n;
	return samples;
}

static void
require_name(const char *problem, const text *given)
{
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem),
						VARSIZE_ANY_EXHDR(given) > 0 ? errdetail("Given: %s.", text_to_cstring(given)) : 0));
}

/* Names of VPS and application, from two arguments that may be NULL. */
static void
names_of(FunctionCallInfo fcinfo, int vps_argument, int app_argument, text **vps_name, text **app_name)
{
	if (PG_ARGISNULL(vps_argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("vps_name must not be null")));
	*vps_name = PG_GETARG_TEXT_PP(vps_argument);
	*app_name = PG_ARGISNULL(app_argument) ? cstring_to_text("") : PG_GETARG_TEXT_PP(app_argument);
	require_name(observ_vps_name_problem(*vps_name), *vps_name);
	require_name(observ_app_name_problem(*app_name), *app_name);
}

/*
 * Stores as the owner of the tables what the caller may store. `judge` sees what became of the samples while the reasons are still there.
 */
static ObservStored
store(text *vps_name, text *app_name, ObservSample *samples, int n,
	  void (*judge)(const ObservStored *, const ObservSample *, int))
{
	Oid caller = GetUserId();
	ObservIdentity saved;
	ObservStore store;

	observ_require_versions();
	saved = observ_as_owner_begin();
	SPI_connect();
	observ_require_vps(caller, text_to_cstring(vps_name));
	observ_store_begin(&store);
	observ_store_samples(&store, vps_name, app_name, samples, n);
	judge(&store.done, samples, n);
	SPI_finish();
	observ_as_owner_end(&saved);
	return store.done;
}

/* The counts go to the program, the first reason to who reads notices. */
static void
tell_first_problem(const ObservStored *done, const ObservSample *samples, int n)
{
	for (int i = 0; i < n; i++) {
		if (samples[i].problem == NULL || samples[i].quarantined)
			continue;
		ereport(NOTICE, (errcode(samples[i].sqlstate),
						 errmsg(INT64_FORMAT " of %d samples rejected", done->rejected, n),
						 errdetail("The first is that of element %d: %s.", i + 1, samples[i].problem)));
		return;
	}
}

/*
 * observ.insert_samples(vps_name, app_name, at, metric_names, labels, values, kinds) → one row of counts; see its COMMENT.
 * Errors: 42501 when the caller may not write that VPS, 2202E when arrays differ in length, 22023 and 22004 for vps_name and app_name, 55000
 * without a partition for now.
 */
Datum
observ_insert_samples(PG_FUNCTION_ARGS)
{
	ObservStored done;
	ObservSample *samples;
	text *vps_name, *app_name;
	Datum row[OBSERV_STORED_COLUMNS];
	bool nulls[OBSERV_STORED_COLUMNS] = {false};
	int n;

	names_of(fcinfo, ARG_VPS_NAME, ARG_APP_NAME, &vps_name, &app_name);
	samples = samples_of(fcinfo, &n);
	done = store(vps_name, app_name, samples, n, tell_first_problem);
	observ_stored_columns(&done, row);
	return observ_row(fcinfo, row, nulls);
}

static void
require_stored(const ObservStored *done, const ObservSample *sample, int n)
{
	if (sample->problem != NULL)
		ereport(ERROR, (errcode(sample->sqlstate), errmsg("could not store the sample: %s", sample->problem),
						sample->metric_name && VARSIZE_ANY_EXHDR(sample->metric_name) > 0
							? errdetail("Metric: %s.", text_to_cstring(sample->metric_name))
							: 0,
						sample->sqlstate == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
							? errhint("See observ.metric_usage for who has how many series.")
							: 0));
}

/*
 * observ.record_metric(name, value, labels, vps_name, app_name, at) → true, or false when there was a sample of that series and time.
 * Errors: what observ.insert_samples() counts as rejected (22023, 53400 beyond a limit, 23505 for a hash collision) or
 * quarantined (22008).
 */
Datum
observ_record_metric(PG_FUNCTION_ARGS)
{
	ObservSample sample = {0};
	text *vps_name, *app_name;

	names_of(fcinfo, 3, 4, &vps_name, &app_name);
	sample.metric_name = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	sample.has_value = !PG_ARGISNULL(1);
	sample.value = sample.has_value ? PG_GETARG_FLOAT8(1) : 0;
	sample.labels = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	sample.has_time = !PG_ARGISNULL(5);
	sample.at = sample.has_time ? PG_GETARG_TIMESTAMPTZ(5) : 0;
	PG_RETURN_BOOL(store(vps_name, app_name, &sample, 1, require_stored).stored == 1);
}
