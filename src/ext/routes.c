/*
 * The tree of routes: reading it, inheritance, and the way of an alert through it. What does not belong here: checks of what people write
 * (routes_check.c), explanations (routes_explain.c).
 */
#include "postgres.h"

#include "ext/routes.h"

#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Columns of the query, from 1. */
enum RouteColumn {
	COL_ROUTE_ID = 1,
	COL_PARENT_ID,
	COL_NAME,
	COL_MATCHERS,
	COL_CHANNELS,
	COL_GROUP_BY,
	COL_GROUP_WAIT,
	COL_GROUP_INTERVAL,
	COL_REPEAT_INTERVAL,
	COL_CONTINUE,
	COL_MUTE,
	COL_ACTIVE,
	COL_ENABLED,
};

static const char routes_sql[] =
	"SELECT route_id, parent_id, name, matchers, channels, group_by, group_wait, group_interval, "
	"repeat_interval, \"continue\", mute_time_intervals, active_time_intervals, enabled "
	"FROM observ.routes ORDER BY parent_id NULLS FIRST, position, route_id";

/* A row as it is read, without what it inherits. */
typedef struct RawRoute {
	ObservRoute route;
	int64 parent_id; /* 0: none */
	bool has_wait, has_interval, has_repeat;
} RawRoute;

/* What is used when even the root says nothing, which the checks don't allow. */
static const ObservRoute fallback = {.group_wait_us = 30 * USECS_PER_SEC,
									 .group_interval_us = 5 * USECS_PER_MINUTE};

ObservNames
observ_route_names(uint64 row, int column)
{
	bool isnull;
	Datum value = observ_spi_value(row, column, &isnull);
	ObservNames names = {.n = -1};
	Datum *elements;
	bool *nulls;
	int n;

	if (isnull)
		return names;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	names.n = 0;
	names.name = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			names.name[names.n++] = TextDatumGetCString(elements[i]);
	return names;
}

static bool
interval_of(uint64 row, int column, int64 *us)
{
	bool isnull;
	Datum value = observ_spi_value(row, column, &isnull);

	if (!isnull)
		*us = observ_interval_usecs(DatumGetIntervalP(value));
	return !isnull;
}

static bool
repeats_of(uint64 row, ObservRoute *route)
{
	bool isnull;
	Datum value = observ_spi_value(row, COL_REPEAT_INTERVAL, &isnull);
	Datum *elements;
	bool *nulls;
	int n;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(value), INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	route->repeat_us = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			route->repeat_us[route->n_repeat++] = observ_interval_usecs(DatumGetIntervalP(elements[i]));
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In order and each once: so the key of a group does not depend on how group_by was written. */
static void
arrange_group_by(ObservRoute *route)
{
	ObservNames *names = &route->group_by;
	int n = 0;

	if (names->n <= 0)
		return;
	qsort(names->name, (size_t) names->n, sizeof(char *), compare_names);
	for (int i = 0; i < names->n; i++) {
		if (strcmp(names->name[i], "...") == 0)
			route->group_by_all = true;
		if (n == 0 || strcmp(names->name[n - 1], names->name[i]) != 0)
			names->name[n++] = names->name[i];
	}
	names->n = n;
}

static void
read_route(uint64 row, RawRoute *raw)
{
	bool isnull;
	ObservRoute *route = &raw->route;
	Datum parent = observ_spi_value(row, COL_PARENT_ID, &isnull);

	raw->parent_id = isnull ? 0 : DatumGetInt64(parent);
	route->route_id = DatumGetInt64(observ_spi_value(row, COL_ROUTE_ID, &isnull));
	route->name = TextDatumGetCString(observ_spi_value(row, COL_NAME, &isnull));
	route->matchers_text = TextDatumGetCString(observ_spi_value(row, COL_MATCHERS, &isnull));
	route->channels = observ_route_names(row, COL_CHANNELS);
	route->group_by = observ_route_names(row, COL_GROUP_BY);
	arrange_group_by(route);
	raw->has_wait = interval_of(row, COL_GROUP_WAIT, &route->group_wait_us);
	raw->has_interval = interval_of(row, COL_GROUP_INTERVAL, &route->group_interval_us);
	raw->has_repeat = repeats_of(row, route);
	route->goes_on = DatumGetBool(observ_spi_value(row, COL_CONTINUE, &isnull));
	route->mute = observ_route_names(row, COL_MUTE);
	route->active = observ_route_names(row, COL_ACTIVE);
	route->enabled = DatumGetBool(observ_spi_value(row, COL_ENABLED, &isnull));
}

static ObservNames
joined(ObservNames above, ObservNames own)
{
	ObservNames all = {0};

	if (own.n <= 0 || above.n <= 0)
		return own.n <= 0 ? above : own;
	all.name = palloc((above.n + own.n) * sizeof(char *));
	for (int i = 0; i < above.n; i++)
		all.name[all.n++] = above.name[i];
	for (int i = 0; i < own.n; i++)
		all.name[all.n++] = own.name[i];
	return all;
}

static void
inherit(RawRoute *raw, const ObservRoute *above)
{
	ObservRoute *route = &raw->route;

	if (route->channels.n < 0)
		route->channels = above->channels;
	if (route->group_by.n < 0) {
		route->group_by = above->group_by;
		route->group_by_all = above->group_by_all;
	}
	if (!raw->has_wait)
		route->group_wait_us = above->group_wait_us;
	if (!raw->has_interval || route->group_interval_us <= 0)
		route->group_interval_us = above->group_interval_us;
	if (!raw->has_repeat) {
		route->n_repeat = above->n_repeat;
		route->repeat_us = above->repeat_us;
	}
	route->mute = joined(above->mute, route->mute);
	if (route->active.n < 0)
		route->active = above->active;
}

typedef struct Reading {
	ObservRoutes *routes;
	ObservRoute *route;
	MemoryContext context;
} Reading;

static void
read_matchers(void *arg)
{
	Reading *reading = arg;
	MemoryContext before = MemoryContextSwitchTo(reading->context);

	/* Regular expressions would be compiled when the first alert comes by. */
	observ_check_matcher_sets(reading->route->matchers_text, false, "route");
	reading->route->matchers =
		observ_parse_matcher_sets(reading->route->matchers_text, &reading->routes->names);
	MemoryContextSwitchTo(before);
}

/* In a subtransaction: one route that can't be must not keep the others from telling anybody. */
static void
parse_matchers(ObservRoutes *routes, ObservRoute *route)
{
	Reading reading = {routes, route, CurrentMemoryContext};
	ErrorData *error = observ_in_subtransaction(read_matchers, &reading);

	if (error == NULL)
		return;
	route->matchers = NULL;
	route->error = error->message;
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("route \"%s\" takes no alerts: %s", route->name, error->message),
					  errdetail("Matchers: %s", route->matchers_text)));
}

/* Puts a route behind those that are there, and its children behind it; what is not below the root is left out. */
static void
place(ObservRoutes *routes, RawRoute *raw, int n, int which, int parent)
{
	int own = routes->n++;
	const ObservRoute *above = parent < 0 ? &fallback : &routes->route[parent];

	check_stack_depth();
	raw[which].route.parent = parent;
	inherit(&raw[which], above);
	routes->route[own] = raw[which].route;
	if (parent >= 0)
		parse_matchers(routes, &routes->route[own]);
	for (int i = 0; i < n; i++)
		if (raw[i].parent_id == routes->route[own].route_id && i != which)
			place(routes, raw, n, i, own);
	routes->route[own].end = routes->n;
}

static int64
digest_of(const ObservRoutes *routes)
{
	uint64_t h = HASH_SEED;

	for (int i = 0; i < routes->n; i++) {
		const ObservRoute *route = &routes->route[i];
		int64 numbers[] = {route->route_id, route->end, route->enabled, route->goes_on, route->group_by.n};

		h = hash_span(h, numbers, sizeof numbers);
		h = hash_string(h, route->matchers_text);
		for (int j = 0; j < route->group_by.n; j++)
			h = hash_span(h, route->group_by.name[j], strlen(route->group_by.name[j]) + 1);
	}
	return (int64) hash_finish(h);
}

ObservRoutes *
observ_load_routes(void)
{
	ObservRoutes *routes = palloc0(sizeof(ObservRoutes));
	int n = (int) observ_spi(SPI_OK_SELECT, routes_sql, 0, NULL, NULL, NULL);
	RawRoute *raw = palloc0(Max(n, 1) * sizeof(RawRoute));

	for (int i = 0; i < n; i++)
		read_route((uint64) i, &raw[i]);
	SPI_freetuptable(SPI_tuptable);
	if (n == 0 || raw[0].parent_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("observ.routes has no root route"),
				 errhint("INSERT INTO observ.routes (name, channels, group_by, group_wait, group_interval, "
						 "repeat_interval) VALUES ('root', '{default}', '{alertname}', '30 s', '5 min', '{4 "
						 "h}').")));
	routes->route = palloc0(n * sizeof(ObservRoute));
	place(routes, raw, n, 0, -1);
	routes->digest = digest_of(routes);
	return routes;
}

int
observ_route_by_id(const ObservRoutes *routes, int64 route_id)
{
	for (int i = 0; i < routes->n; i++)
		if (routes->route[i].route_id == route_id)
			return i;
	return -1;
}

int
observ_route_by_name(const ObservRoutes *routes, const char *name)
{
	for (int i = 0; i < routes->n; i++)
		if (strcmp(routes->route[i].name, name) == 0)
			return i;
	return -1;
}

void
observ_route_values(const ObservRoutes *routes, matchers_lookup *lookup, void *arg, struct slice *values)
{
	for (int i = 0; i < routes->names.n; i++)
		values[i] = lookup(arg, routes->names.name[i]);
}

bool
observ_route_accepts(const ObservRoute *route, const struct slice *values)
{
	if (route->error != NULL || !route->enabled)
		return false;
	return route->matchers == NULL || observ_sets_accept(route->matchers, values);
}

static List *
descend(const ObservRoutes *routes, int at, const struct slice *values, List *found)
{
	bool taken = false;

	for (int i = at + 1; i < routes->route[at].end; i = routes->route[i].end) {
		if (!observ_route_accepts(&routes->route[i], values))
			continue;
		taken = true;
		found = descend(routes, i, values, found);
		if (!routes->route[i].goes_on)
			break;
	}
	return taken ? found : lappend_int(found, at);
}

List *
observ_find_routes(const ObservRoutes *routes, const struct slice *values)
{
	return descend(routes, 0, values, NIL);
}

int64
observ_route_repeat_us(const ObservRoute *route, int repeats)
{
	return route->n_repeat == 0 ? -1 : route->repeat_us[Min(repeats, route->n_repeat - 1)];
}
