/*
 * observ.insert_metrics(): samples as JSON, as applications and scripts send them. A bad row is reported, the others are stored.
 * What does not belong here: storing (metric_store.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/caller.h"
#include "ext/compat.h"
#include "ext/metric_store.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_insert_metrics);

/* Seconds since 1970 above this are milliseconds in truth: the year 5138. */
#define MAX_EPOCH_SECONDS 1e11

typedef struct Row {
	text *vps_name;
	text *app_name;
	int index; /* in the batch, from 0 */
	ObservSample sample;
} Row;

static void
refuse(Row *row, const char *problem)
{
	if (row->sample.problem != NULL)
		return;
	row->sample.problem = problem;
	row->sample.sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
}

/* A field of a row; false when it is missing or null. */
static bool
get_field(const JsonbValue *object, const char *name, JsonbValue *out)
{
	return getKeyJsonValueFromContainer(object->val.binary.data, name, (int) strlen(name), out) != NULL &&
		   out->type != jbvNull;
}

/* A field that must be a string; `otherwise` when it is missing. */
static text *
get_text(Row *row, const JsonbValue *object, const char *name, text *otherwise)
{
	JsonbValue v;

	if (!get_field(object, name, &v))
		return otherwise;
	if (v.type == jbvString)
		return cstring_to_text_with_len(v.val.string.val, v.val.string.len);
	refuse(row, psprintf("%s must be a string", name));
	return otherwise;
}

static char *
json_cstring(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* A number, or a string that float8 takes: JSON has no NaN and no infinity. */
static bool
read_number(const JsonbValue *v, double *out)
{
	bool failed = false;
	char *s;

	if (v->type == jbvNumeric)
		*out =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));
	else if (v->type == jbvString) {
		s = json_cstring(v);
		*out = float8in_internal_opt_error(s, NULL, "double precision", s, &failed);
		return !failed;
	} else
		return false;
	return !isinf(*out);
}

static void
read_value(Row *row, const JsonbValue *object)
{
	JsonbValue v;

	row->sample.has_value = get_field(object, "value", &v);
	if (!row->sample.has_value)
		refuse(row, "value is missing");
	else if (!read_number(&v, &row->sample.value))
		refuse(row, "value must be a number, or a string that holds one");
}

/* As timestamptz_in() does, but says so when it can't. */
static bool
parse_timestamp(const char *s, TimestampTz *out)
{
	char work[MAXDATELEN + MAXDATEFIELDS];
	char *field[MAXDATEFIELDS];
	int type[MAXDATEFIELDS];
	struct pg_tm tm;
	fsec_t fsec;
	int n, kind, zone;

	if (ParseDateTime(s, work, sizeof(work), field, type, MAXDATEFIELDS, &n) != 0 ||
		DecodeDateTime(field, type, n, &kind, &tm, &fsec, &zone) != 0)
		return false;
	return kind == DTK_DATE && tm2timestamp(&tm, fsec, &zone, out) == 0;
}

static bool
read_timestamp(const JsonbValue *v, TimestampTz *out)
{
	double seconds;

	if (v->type == jbvString)
		return parse_timestamp(json_cstring(v), out);
	if (v->type != jbvNumeric || !read_number(v, &seconds) || fabs(seconds) > MAX_EPOCH_SECONDS)
		return false;
	*out = (TimestampTz) rint(seconds * USECS_PER_SEC) -
		   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	return true;
}

static void
read_row(Row *row, const JsonbValue *element, text *vps_name, text *app_name)
{
	ObservSample *sample = &row->sample;
	JsonbValue v;

	row->vps_name = vps_name;
	row->app_name = app_name;
	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data)) {
		refuse(row, "a row must be an object");
		return;
	}
	sample->metric_name = get_text(row, element, "metric_name", NULL);
	if (sample->metric_name == NULL)
		refuse(row, "metric_name is missing");
	read_value(row, element);
	if (get_field(element, "labels", &v))
		sample->labels = JsonbValueToJsonb(&v);
	if (get_field(element, "timestamp", &v) && !read_timestamp(&v, &sample->at))
		refuse(row, "timestamp must be an ISO 8601 time, or seconds since 1970");
	sample->kind = get_text(row, element, "kind", NULL);
	row->vps_name = get_text(row, element, "vps_name", vps_name);
	row->app_name = get_text(row, element, "app_name", app_name);
	refuse(row, observ_vps_name_problem(row->vps_name));
	refuse(row, observ_app_name_problem(row->app_name));
}

/* The rows of the batch; *n receives how many. Those without a time are of now. */
static Row *
read_batch(Jsonb *batch, text *vps_name, text *app_name, int *n)
{
	JsonbIterator *it = JsonbIteratorInit(&batch->root);
	Row *rows = palloc0(sizeof(Row) * (JB_ROOT_COUNT(batch) + 1));
	JsonbIteratorToken token;
	JsonbValue v;

	if (!JB_ROOT_IS_ARRAY(batch) || JB_ROOT_IS_SCALAR(batch))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a batch of metrics must be a JSON array of objects"),
						errhint("[{\"metric_name\": …, \"value\": …, \"labels\": {…}, \"timestamp\": …, "
								"\"vps_name\": …}, …]")));
	*n = 0;
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE) {
		if (token != WJB_ELEM)
			continue;
		rows[*n].index = *n;
		rows[*n].sample.has_time = true;
		rows[*n].sample.at = GetCurrentTransactionStartTimestamp();
		read_row(&rows[*n], &v, vps_name, app_name);
		(*n)++;
	}
	return rows;
}

/* By VPS and application, then as they came: everybody locks VPSs in the same order. */
static int
by_vps(const void *a, const void *b)
{
	const Row *left = a, *right = b;
	int order = observ_text_compare(left->vps_name, right->vps_name);

	if (order == 0)
		order = observ_text_compare(left->app_name, right->app_name);
	return order != 0 ? order : left->index - right->index;
}

static bool
same_vps(const Row *a, const Row *b)
{
	return observ_text_compare(a->vps_name, b->vps_name) == 0 &&
		   observ_text_compare(a->app_name, b->app_name) == 0;
}

/* Stores rows of one VPS and application, when these can be and the caller may. */
static void
store_group(ObservStore *store, Oid caller, Row *rows, int n)
{
	char *vps_name = text_to_cstring(rows->vps_name);
	ObservSample *samples;

	if (observ_vps_name_problem(rows->vps_name) != NULL || observ_app_name_problem(rows->app_name) != NULL) {
		store->done.rejected += n;
		return;
	}
	if (!observ_writes_any_vps(caller) && !observ_is_enrolled(caller, vps_name)) {
		const char *problem = psprintf("role \"%s\" may not write rows of VPS \"%s\"",
									   GetUserNameFromId(caller, false), vps_name);

		for (int i = 0; i < n; i++)
			refuse(&rows[i], problem);
		store->done.rejected += n;
		return;
	}
	samples = palloc(sizeof(ObservSample) * n);
	for (int i = 0; i < n; i++)
		samples[i] = rows[i].sample;
	observ_store_samples(store, rows->vps_name, rows->app_name, samples, n);
	for (int i = 0; i < n; i++)
		rows[i].sample = samples[i];
	pfree(samples);
}

static int
by_index(const void *a, const void *b)
{
	return ((const Row *) a)->index - ((const Row *) b)->index;
}

/* [{"index": …, "error": …}, …], a row each that was refused or quarantined, in the order of the batch. */
static Jsonb *
errors_of(Row *rows, int n)
{
	JsonbParseState *state = NULL;

	qsort(rows, n, sizeof(Row), by_index);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++) {
		JsonbValue index_key = {.type = jbvString, .val.string = {.val = "index", .len = 5}};
		JsonbValue error_key = {.type = jbvString, .val.string = {.val = "error", .len = 5}};
		JsonbValue index = {.type = jbvNumeric};
		JsonbValue error = {.type = jbvString, .val.string = {.val = (char *) rows[i].sample.problem}};

		if (rows[i].sample.problem == NULL)
			continue;
		index.val.numeric = int64_to_numeric(rows[i].index);
		error.val.string.len = (int) strlen(rows[i].sample.problem);
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		pushJsonbValue(&state, WJB_KEY, &index_key);
		pushJsonbValue(&state, WJB_VALUE, &index);
		pushJsonbValue(&state, WJB_KEY, &error_key);
		pushJsonbValue(&state, WJB_VALUE, &error);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* Stores all rows and returns their errors, in the memory context of the caller. */
static Jsonb *
store_batch(ObservStore *store, Row *rows, int n)
{
	MemoryContext context = CurrentMemoryContext;
	Oid caller = GetUserId();
	ObservIdentity saved = observ_as_owner_begin();
	Jsonb *errors;

	SPI_connect();
	observ_store_begin(store);
	qsort(rows, n, sizeof(Row), by_vps);
	for (int i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && same_vps(&rows[i], &rows[end]);)
			end++;
		CHECK_FOR_INTERRUPTS();
		store_group(store, caller, &rows[i], end - i);
	}
	MemoryContextSwitchTo(context);
	errors = errors_of(rows, n);
	SPI_finish();
	observ_as_owner_end(&saved);
	return errors;
}

/*
 * observ.insert_metrics(batch, vps_name, app_name) → one row of counts and errors; see its COMMENT.
 * Errors: 22023 when the batch is no array, 55000 without a partition for now. What is wrong with a row is in `errors`.
 */
Datum
observ_insert_metrics(PG_FUNCTION_ARGS)
{
	ObservStore store;
	Datum row[OBSERV_STORED_COLUMNS + 1];
	bool nulls[OBSERV_STORED_COLUMNS + 1] = {false};
	Row *rows;
	int n;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a batch of metrics must not be null")));
	observ_require_versions();
	rows = read_batch(PG_GETARG_JSONB_P(0), PG_ARGISNULL(1) ? cstring_to_text("") : PG_GETARG_TEXT_PP(1),
					  PG_ARGISNULL(2) ? cstring_to_text("") : PG_GETARG_TEXT_PP(2), &n);
	row[OBSERV_STORED_COLUMNS] = JsonbPGetDatum(store_batch(&store, rows, n));
	observ_stored_columns(&store.done, row);
	return observ_row(fcinfo, row, nulls);
}
