/*
 * observ.explain_route() and observ.explain_timing(): where an alert would go, and when who would hear of it. What does not belong here: what
 * became of an alert (explain_alert()).
 */
#include "postgres.h"

#include "ext/routes.h"

#include "catalog/pg_type.h"
#include "core/nearest.h"
#include "ext/compat.h"
#include "ext/live_alert.h"
#include "ext/metric_labels.h"
#include "ext/spi_util.h"
#include "ext/suppression.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_explain_route);
OBSERV_SQL_FUNCTION(observ_explain_timing);

/* Columns of observ.explain_route(). */
enum RouteColumn {
	ROUTE_NAME,
	ROUTE_PARENT,
	ROUTE_MATCHERS,
	ROUTE_MATCHED,
	ROUTE_TOLD,
	ROUTE_WHY,
	ROUTE_CHANNELS,
	ROUTE_GROUP_BY,
	ROUTE_GROUP_LABELS,
	ROUTE_GROUP_WAIT,
	ROUTE_GROUP_INTERVAL,
	ROUTE_REPEAT_INTERVAL,
	ROUTE_MUTE,
	ROUTE_ACTIVE,
	N_ROUTE_COLUMNS
};

/* What becomes of a route for these labels. */
typedef struct Visit {
	bool matched, told;
	const char *why; /* NULL: it was not looked at */
} Visit;

typedef struct Explanation {
	ReturnSetInfo *result;
	ObservRoutes *routes;
	Jsonb *labels;
	struct slice *values;
	Visit *visits;
	const ObservNames *channels; /* of the alert's rule; NULL: the route's */
} Explanation;

static Datum
names_datum(const ObservNames *names)
{
	Datum *values = palloc(Max(names->n, 1) * sizeof(Datum));

	for (int i = 0; i < names->n; i++)
		values[i] = CStringGetTextDatum(names->name[i]);
	return observ_array(values, Max(names->n, 0), TEXTOID);
}

/* So long that people can read it: days are days. */
static Datum
interval_datum(int64 us)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->day = (int32) (us / USECS_PER_DAY);
	interval->time = us % USECS_PER_DAY;
	return IntervalPGetDatum(interval);
}

static Datum
repeats_datum(const ObservRoute *route)
{
	Datum *values = palloc(Max(route->n_repeat, 1) * sizeof(Datum));
	ArrayType *array;

	for (int i = 0; i < route->n_repeat; i++)
		values[i] = interval_datum(route->repeat_us[i]);
	array = construct_array(values, route->n_repeat, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE);
	return PointerGetDatum(array);
}

/* The way of the labels through the tree, as observ_find_routes() goes it. */
static void
visit(Explanation *e, int at)
{
	const ObservRoute *routes = e->routes->route;
	const char *taken = NULL, *stopped = NULL;

	for (int i = at + 1; i < routes[at].end; i = routes[i].end) {
		Visit *v = &e->visits[i];

		if (stopped != NULL)
			v->why = psprintf("not looked at: route \"%s\" before it takes the alert", stopped);
		else if (routes[i].error != NULL)
			v->why = psprintf("takes nothing: %s", routes[i].error);
		else if (!routes[i].enabled)
			v->why = "disabled";
		else if (!observ_route_accepts(&routes[i], e->values))
			v->why = "its matchers don't match";
		else {
			v->matched = true;
			taken = routes[i].name;
			if (!routes[i].goes_on)
				stopped = taken;
			visit(e, i);
		}
	}
	e->visits[at].told = taken == NULL;
	e->visits[at].why = taken == NULL ? (at == 0 ? "the root takes what no other route takes"
												 : "matches, and no route below it does")
									  : "matches, and so does a route below it";
}

static Datum
group_labels(const ObservRoute *route, Jsonb *labels)
{
	JsonbParseState *json = NULL;

	if (route->group_by_all)
		return JsonbPGetDatum(labels);
	pushJsonbValue(&json, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < route->group_by.n; i++) {
		struct slice value = observ_alert_label_in(labels, slice_of(route->group_by.name[i]));
		JsonbValue key = {.type = jbvString,
						  .val.string = {(int) strlen(route->group_by.name[i]), route->group_by.name[i]}};
		JsonbValue text = {.type = jbvString, .val.string = {(int) (value.end - value.p), (char *) value.p}};

		if (value.p == value.end)
			continue;
		pushJsonbValue(&json, WJB_KEY, &key);
		pushJsonbValue(&json, WJB_VALUE, &text);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&json, WJB_END_OBJECT, NULL)));
}

static void
emit_route(const Explanation *e, int i)
{
	const ObservRoute *route = &e->routes->route[i];
	const Visit *v = &e->visits[i];
	const char *why = v->why != NULL ? v->why : "not looked at: a route above it does not take the alert";
	bool by_rule = v->told && e->channels != NULL;
	Datum values[N_ROUTE_COLUMNS];
	bool nulls[N_ROUTE_COLUMNS] = {false};

	values[ROUTE_NAME] = CStringGetTextDatum(route->name);
	nulls[ROUTE_PARENT] = route->parent < 0;
	values[ROUTE_PARENT] =
		route->parent < 0 ? (Datum) 0 : CStringGetTextDatum(e->routes->route[route->parent].name);
	values[ROUTE_MATCHERS] = CStringGetTextDatum(route->matchers_text);
	values[ROUTE_MATCHED] = BoolGetDatum(v->matched);
	values[ROUTE_TOLD] = BoolGetDatum(v->told);
	values[ROUTE_WHY] = CStringGetTextDatum(by_rule ? psprintf("%s; the rule names the channels", why) : why);
	values[ROUTE_CHANNELS] = names_datum(by_rule ? e->channels : &route->channels);
	values[ROUTE_GROUP_BY] = names_datum(&route->group_by);
	nulls[ROUTE_GROUP_LABELS] = !v->told;
	values[ROUTE_GROUP_LABELS] = v->told ? group_labels(route, e->labels) : (Datum) 0;
	values[ROUTE_GROUP_WAIT] = interval_datum(route->group_wait_us);
	values[ROUTE_GROUP_INTERVAL] = interval_datum(route->group_interval_us);
	values[ROUTE_REPEAT_INTERVAL] = repeats_datum(route);
	nulls[ROUTE_MUTE] = route->mute.n <= 0;
	values[ROUTE_MUTE] = names_datum(&route->mute);
	nulls[ROUTE_ACTIVE] = route->active.n <= 0;
	values[ROUTE_ACTIVE] = names_datum(&route->active);
	tuplestore_putvalues(e->result->setResult, e->result->setDesc, values, nulls);
}

static struct slice
label_in_json(void *arg, struct slice name)
{
	return observ_alert_label_in(arg, name);
}

static void
explain_labels(ReturnSetInfo *result, Jsonb *labels, const ObservNames *channels)
{
	Explanation e = {.result = result, .labels = labels, .channels = channels};

	e.routes = observ_load_routes();
	e.values = palloc0(Max(e.routes->names.n, 1) * sizeof(struct slice));
	e.visits = palloc0(e.routes->n * sizeof(Visit));
	observ_route_values(e.routes, label_in_json, labels, e.values);
	e.visits[0].matched = true;
	visit(&e, 0);
	for (int i = 0; i < e.routes->n; i++)
		emit_route(&e, i);
}

/* The labels of an alert, and the channels that its rule names. */
static Jsonb *
labels_of_alert(Datum alert_id, ObservNames *channels)
{
	static const Oid types[] = {INT8OID};
	bool isnull;

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT a.labels, r.notification_channels FROM observ.alerts a "
				   "LEFT JOIN observ.alert_rules r USING (rule_id) WHERE a.alert_id = $1",
				   1, types, &alert_id, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA),
						errmsg("there is no alert with alert_id " INT64_FORMAT, DatumGetInt64(alert_id)),
						errhint("SELECT alert_id, status, labels FROM observ.alerts.")));
	*channels = observ_route_names(0, 2);
	return DatumGetJsonbPCopy(observ_spi_value(0, 1, &isnull));
}

static Jsonb *
given_labels(Jsonb *given)
{
	ObservLabels labels;
	const char *problem = observ_read_labels(given, &labels);

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem),
						errhint("SELECT * FROM observ.explain_route('{\"alertname\":\"HighCpu\","
								"\"severity\":\"high\"}').")));
	return labels.json;
}

/*
 * observ.explain_route(labels, alert_id) → set of rows; see its COMMENT. Errors: 22023 for what are no labels, or when not one of the two is given;
 * 02000 when there is no such alert.
 */
Datum
observ_explain_route(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ObservNames channels = {.n = -1};
	ObservIdentity saved;
	Jsonb *labels;

	observ_require_versions();
	if (PG_ARGISNULL(0) == PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("either labels or alert_id must be given"),
				 errhint("SELECT * FROM observ.explain_route(alert_id => 1).")));
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	labels =
		PG_ARGISNULL(0) ? labels_of_alert(PG_GETARG_DATUM(1), &channels) : given_labels(PG_GETARG_JSONB_P(0));
	explain_labels(result, labels, channels.n < 0 ? NULL : &channels);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}

/* ---- timing */

#define FLUSHES_SHOWN 3
#define REPEATS_SHOWN 3
#define GROUPS_SHOWN  10

typedef struct Moment {
	TimestampTz time;
	const char *what;
} Moment;

typedef struct Timing {
	const ObservRoute *route;
	TimestampTz at;
	int n;
	Moment moment[1 + FLUSHES_SHOWN + REPEATS_SHOWN + GROUPS_SHOWN];
} Timing;

static void
add_moment(Timing *t, TimestampTz time, const char *what)
{
	int i = t->n++;

	for (; i > 0 && t->moment[i - 1].time > time; i--)
		t->moment[i] = t->moment[i - 1];
	t->moment[i] = (Moment){time, what};
}

/* The first flush at which the repetition after `repeats` others is due. */
static TimestampTz
next_repeat(const Timing *t, TimestampTz sent_at, int repeats)
{
	int64 every = t->route->group_interval_us, wait = observ_route_repeat_us(t->route, repeats);

	return sent_at + (wait + every - 1) / every * every;
}

/* An alert that begins to fire at `at`, alone in its group. */
static void
add_new_alert(Timing *t)
{
	TimestampTz first = t->at + t->route->group_wait_us, time = first;

	add_moment(t, first, "a new group: first notification");
	for (int i = 1; i <= FLUSHES_SHOWN; i++)
		add_moment(t, first + i * t->route->group_interval_us, "a new group: changes since are told");
	for (int i = 0; i < REPEATS_SHOWN && t->route->n_repeat > 0; i++) {
		time = next_repeat(t, time, i);
		add_moment(t, time, psprintf("a new group: repetition %d, when nothing changed", i + 1));
	}
}

/* The groups that there are, the next ten flushes. */
static void
add_groups(Timing *t)
{
	static const Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(t->route->route_id)};

	observ_spi(SPI_OK_SELECT,
			   "SELECT next_flush_at, labels FROM observ_data.alert_groups WHERE route_id = $1 AND "
			   "escalation_id IS NULL "
			   "ORDER BY next_flush_at, group_key LIMIT " CppAsString2(GROUPS_SHOWN),
			   1, types, values, NULL);
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++) {
		bool isnull;
		TimestampTz next = DatumGetTimestampTz(observ_spi_value(i, 1, &isnull));

		add_moment(
			t, next,
			psprintf("group %s: next flush", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)));
	}
}

static void
emit_moments(ReturnSetInfo *result, const Timing *t)
{
	for (int i = 0; i < t->n; i++) {
		Datum values[3] = {TimestampTzGetDatum(t->moment[i].time), interval_datum(t->moment[i].time - t->at),
						   CStringGetTextDatum(t->moment[i].what)};
		bool nulls[3] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static void
unknown_route(const ObservRoutes *routes, const char *name)
{
	struct nearest nearest;

	nearest_begin(&nearest, name, 0);
	for (int i = 0; i < routes->n; i++)
		nearest_consider(&nearest, routes->route[i].name);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no route \"%s\"", name),
					nearest.name != NULL ? errhint("Perhaps \"%s\" is meant.", nearest.name)
										 : errhint("SELECT name FROM observ.routes.")));
}

/* observ.explain_timing(route, at) → set of rows; see its COMMENT. Errors: 22004, 22008, 42704 for an unknown route. */
Datum
observ_explain_timing(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Timing t = {0};
	ObservIdentity saved;
	ObservRoutes *routes;
	char *name;
	int i;

	observ_require_versions();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", PG_ARGISNULL(0) ? "name of the route" : "time")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	t.at = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(t.at) || t.at > END_TIMESTAMP - 400 * 366 * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time of a route is out of range")));
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	routes = observ_load_routes();
	i = observ_route_by_name(routes, name);
	if (i < 0)
		unknown_route(routes, name);
	t.route = &routes->route[i];
	add_new_alert(&t);
	add_groups(&t);
	emit_moments(result, &t);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
