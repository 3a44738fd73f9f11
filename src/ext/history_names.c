/*
 * The metrics that observ.metrics_history() is asked for: columns of observ.vps_metrics, labelled metrics, response times.
 * What does not belong here: reading their values (history_read.c).
 *
 *   cpu_percent                           a column
 *   response_time_ms                      every health check, a line each
 *   response_time_ms{url=~".*login"}      some of them
 *   requests_total                        every series of a labelled metric, a line each
 *   requests_total{code="500"}            some of them
 */
#include "postgres.h"

#include "ext/history.h"

#include "catalog/pg_type.h"
#include "ext/label_matchers.h"
#include "ext/metric_labels.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#define RESPONSE_TIME "response_time_ms"
#define MAX_SERIES    10000

/* How far from what was typed a name may be to be suggested. */
#define MAX_DISTANCE 4

/* A name of the question: what stands before the braces, and what in them. */
typedef struct Asked {
	char *text; /* as given */
	char *name;
	struct matchers *matchers; /* NULL: no braces */
} Asked;

static Asked
parse_selector(text *given)
{
	Asked asked = {.text = text_to_cstring(given)};
	char *brace = strchr(asked.text, '{');
	size_t length = brace != NULL ? (size_t) (brace - asked.text) : strlen(asked.text);

	asked.name = pnstrdup(asked.text, length);
	if (brace != NULL)
		asked.matchers = observ_parse_matchers(cstring_to_text(brace));
	return asked;
}

ObservLine *
observ_history_line(ObservHistory *history, const char *name, int source)
{
	ObservLine *line = palloc0(sizeof(ObservLine));

	line->name = pstrdup(name);
	line->source = source;
	history->lines = lappend(history->lines, line);
	history->reach[source].wanted = true;
	return line;
}

static ObservLine *
line_of_name(ObservHistory *history, const char *name, int source)
{
	ListCell *cell;

	foreach (cell, history->lines) {
		ObservLine *line = lfirst(cell);

		if (line->source == source && strcmp(line->name, name) == 0)
			return line;
	}
	return observ_history_line(history, name, source);
}

static void
append_label(StringInfo text, const char *separator, struct slice name, struct slice value)
{
	appendStringInfo(text, "%s%.*s=", separator, (int) (name.end - name.p), name.p);
	observ_put_quoted(text, value);
}

/* ---- health checks */

typedef struct Url {
	struct slice url;
} Url;

static struct slice
label_of_check(void *arg, struct slice name)
{
	const Url *check = arg;

	return slice_equals(name, "url") ? check->url : slice_of("");
}

ObservLine *
observ_history_check(ObservHistory *history, const char *url, int url_len)
{
	Url check = {{url, url + url_len}};
	StringInfoData name;
	ListCell *cell;

	foreach (cell, history->checks)
		if (lfirst(cell) == NULL || observ_matchers_accept(lfirst(cell), label_of_check, &check))
			break;
	if (cell == NULL)
		return NULL;
	initStringInfo(&name);
	appendStringInfoString(&name, RESPONSE_TIME);
	append_label(&name, "{", slice_of("url"), check.url);
	appendStringInfoChar(&name, '}');
	return line_of_name(history, name.data, OBSERV_ROLL_HEALTH_CHECKS);
}

/* ---- labelled metrics */

static struct slice
label_of_series(void *arg, struct slice name)
{
	return observ_label_value(arg, name);
}

static char *
canonical_name(const char *metric, Jsonb *json)
{
	ObservLabels *labels = palloc(sizeof(ObservLabels));
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfoString(&name, metric);
	if (observ_read_labels(json, labels) == NULL) {
		for (int i = 0; i < labels->n; i++)
			append_label(&name, i == 0 ? "{" : ",", labels->items[i].name, labels->items[i].value);
		if (labels->n > 0)
			appendStringInfoChar(&name, '}');
	}
	return name.data;
}

static void
add_series(ObservHistory *history, const Asked *asked, uint64 row)
{
	bool isnull;
	Jsonb *labels = DatumGetJsonbP(observ_spi_value(row, 4, &isnull));
	ObservHistorySeries *series;

	if (asked->matchers != NULL && !observ_matchers_accept(asked->matchers, label_of_series, labels))
		return;
	if (history->n_series == history->room) {
		history->room = Max(64, history->room * 2);
		history->series = history->series == NULL
							  ? palloc(sizeof(ObservHistorySeries) * history->room)
							  : repalloc(history->series, sizeof(ObservHistorySeries) * history->room);
	}
	series = &history->series[history->n_series++];
	series->app = DatumGetTextPCopy(observ_spi_value(row, 1, &isnull));
	series->set_no = DatumGetInt32(observ_spi_value(row, 2, &isnull));
	series->slot = DatumGetInt16(observ_spi_value(row, 3, &isnull)) - 1;
	series->line = line_of_name(history, canonical_name(asked->name, labels), OBSERV_ROLL_METRIC_SCRAPES);
}

/* The series of a metric of that name; false when no VPS has one. */
static bool
resolve_labelled(ObservHistory *history, const Asked *asked)
{
	static const char series_sql[] =
		"SELECT app_name, set_no, slot, labels FROM observ.metric_series WHERE metric_name = $1 "
		"AND vps_name = $2 AND ($3 IS NULL OR app_name = $3) ORDER BY app_name, set_no, slot";
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(asked->name), PointerGetDatum(history->vps),
					  PointerGetDatum(history->app)};
	char nulls[] = {' ', ' ', history->app == NULL ? 'n' : ' ', '\0'};
	int before = history->n_series;
	uint64 n;

	if (SPI_execute_with_args(series_sql, lengthof(types), types, values, nulls, true, MAX_SERIES + 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read observ.metric_series");
	n = SPI_processed;
	if (n > MAX_SERIES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d series of \"%s\"", MAX_SERIES, asked->name),
						errhint("Name some of them: %s{label=\"value\"}.", asked->name)));
	for (uint64 row = 0; row < n; row++)
		add_series(history, asked, row);
	if (n == 0) {
		if (SPI_execute_with_args("SELECT FROM observ.metric_series WHERE metric_name = $1", 1, types, values,
								  NULL, true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read observ.metric_series");
		if (SPI_processed == 0)
			return false;
	}
	/* Known, but not here: its gaps are shown. */
	if (history->n_series == before)
		line_of_name(history, asked->text, OBSERV_ROLL_METRIC_SCRAPES);
	return true;
}

/* ---- unknown names */

typedef struct Nearest {
	const char *asked;
	char *name[3];
	int distance[3];
} Nearest;

static void
consider(Nearest *nearest, const char *name)
{
	int distance;
	size_t length = strlen(name);

	if (length > 255 || strlen(nearest->asked) > 255)
		return;
	distance = varstr_levenshtein_less_equal(nearest->asked, strlen(nearest->asked), name, length, 1, 1, 1,
											 MAX_DISTANCE, true);
	/* What was begun, or part of it. */
	if (distance > MAX_DISTANCE && nearest->asked[0] != '\0' && strstr(name, nearest->asked) != NULL)
		distance = MAX_DISTANCE;
	if (distance > MAX_DISTANCE)
		return;
	for (int i = 0; i < (int) lengthof(nearest->name); i++)
		if (nearest->name[i] == NULL || distance < nearest->distance[i]) {
			for (int j = lengthof(nearest->name) - 1; j > i; j--) {
				nearest->name[j] = nearest->name[j - 1];
				nearest->distance[j] = nearest->distance[j - 1];
			}
			nearest->name[i] = pstrdup(name);
			nearest->distance[i] = distance;
			return;
		}
}

static void
unknown_metric(const ObservHistory *history, const Asked *asked)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {PointerGetDatum(history->vps)};
	Nearest nearest = {.asked = asked->name};
	StringInfoData names;

	for (int i = 0; i < OBSERV_VPS_COLUMNS; i++)
		consider(&nearest, observ_vps_columns[i]);
	consider(&nearest, RESPONSE_TIME);
	if (SPI_execute_with_args(
			"SELECT DISTINCT metric_name FROM observ.metric_series WHERE vps_name = $1 ORDER BY 1", 1, types,
			values, NULL, true, MAX_SERIES) == SPI_OK_SELECT)
		for (uint64 row = 0; row < SPI_processed; row++) {
			bool isnull;

			consider(&nearest, TextDatumGetCString(observ_spi_value(row, 1, &isnull)));
		}
	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(nearest.name) && nearest.name[i] != NULL; i++)
		appendStringInfo(&names, "%s\"%s\"", i > 0 ? ", " : "", nearest.name[i]);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("unknown metric \"%s\"", asked->name),
			 names.len > 0
				 ? errhint("Perhaps you mean %s.", names.data)
				 : errhint("Metrics are columns of observ.vps_metrics, names in observ.metric_series, and "
						   "response_time_ms.")));
}

/* ---- all together */

static int
column_of_name(const char *name)
{
	for (int i = 0; i < OBSERV_VPS_COLUMNS; i++)
		if (strcmp(observ_vps_columns[i], name) == 0)
			return i;
	return -1;
}

static void
resolve(ObservHistory *history, const Asked *asked)
{
	int column = column_of_name(asked->name);

	if (column >= 0 && (asked->matchers == NULL || asked->matchers->n == 0)) {
		if (history->columns[column] == NULL)
			history->columns[column] = observ_history_line(history, asked->name, OBSERV_ROLL_VPS_METRICS);
	} else if (column >= 0)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("metric \"%s\" has no labels", asked->name),
						errdetail("It is a column of observ.vps_metrics.")));
	else if (strcmp(asked->name, RESPONSE_TIME) == 0) {
		history->reach[OBSERV_ROLL_HEALTH_CHECKS].wanted = true;
		history->checks = lappend(history->checks, asked->matchers);
	} else if (!resolve_labelled(history, asked))
		unknown_metric(history, asked);
}

void
observ_history_resolve(ObservHistory *history, ArrayType *names)
{
	Datum *items;
	bool *nulls;
	int n;

	if (names == NULL) {
		for (int i = 0; i < OBSERV_VPS_COLUMNS; i++)
			history->columns[i] =
				observ_history_line(history, observ_vps_columns[i], OBSERV_ROLL_VPS_METRICS);
		return;
	}
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &n);
	for (int i = 0; i < n; i++) {
		Asked asked;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name of a metric must not be null")));
		asked = parse_selector(DatumGetTextPP(items[i]));
		resolve(history, &asked);
	}
}
