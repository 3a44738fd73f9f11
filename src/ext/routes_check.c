/*
 * The triggers of observ.routes: what can't work is refused when it is written, what surprises is a warning. What does not belong here: what routes do
 * (routes.c).
 */
#include "postgres.h"

#include "ext/routes.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/nearest.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/trigger_row.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_check_route);
OBSERV_SQL_FUNCTION(observ_follow_route);

/* Longer ones are slips of the pen, and must not leave the range of timestamps. */
#define LONGEST (3660 * USECS_PER_DAY)

typedef struct RouteRow {
	HeapTuple tuple;
	TupleDesc desc;
	const char *name; /* for messages */
	bool root;
} RouteRow;

static Datum
column(const RouteRow *row, const char *name, bool *isnull)
{
	int number = SPI_fnumber(row->desc, name);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("table \"%s\" has no column \"%s\"", "routes", name)));
	return SPI_getbinval(row->tuple, row->desc, number, isnull);
}

static void
refuse(const RouteRow *row, int code, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(code), errmsg("%s of route \"%s\"", what, row->name), errdetail("%s", detail),
					hint == NULL ? 0 : errhint("%s", hint)));
}

/* The elements of an array; -1: it is NULL. */
static int
elements(const RouteRow *row, const char *name, Oid type, Datum **values)
{
	bool isnull, *nulls;
	Datum array = column(row, name, &isnull);
	int n;

	if (isnull)
		return -1;
	if (type == TEXTOID)
		deconstruct_array(DatumGetArrayTypeP(array), type, -1, false, TYPALIGN_INT, values, &nulls, &n);
	else
		deconstruct_array(DatumGetArrayTypeP(array), type, sizeof(Interval), false, TYPALIGN_DOUBLE, values,
						  &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i])
			refuse(row, ERRCODE_NULL_VALUE_NOT_ALLOWED, psprintf("null element in %s", name),
				   psprintf("Element %d is null.", i + 1), NULL);
	return n;
}

/* Names: none of them empty. */
static int
names(const RouteRow *row, const char *column_name, char ***out)
{
	Datum *values = NULL;
	int n = elements(row, column_name, TEXTOID, &values);

	*out = n <= 0 ? NULL : palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++) {
		(*out)[i] = TextDatumGetCString(values[i]);
		if ((*out)[i][0] == '\0')
			refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("empty name in %s", column_name),
				   psprintf("Element %d is empty.", i + 1), NULL);
	}
	return n;
}

static void
check_length(const RouteRow *row, const char *what, Datum value, int64 shortest)
{
	int64 us = observ_interval_usecs(DatumGetIntervalP(value));
	char *given = DatumGetCString(DirectFunctionCall1(interval_out, value));

	if (us < shortest)
		refuse(
			row, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("invalid %s", what), psprintf("Given: %s.", given),
			shortest == 0 ? "It must not be negative; 0 tells at once." : "It must be longer than nothing.");
	if (us > LONGEST)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("invalid %s", what),
			   psprintf("Given: %s.", given), "It must not be longer than ten years.");
}

static void
check_lengths(const RouteRow *row)
{
	bool isnull;
	Datum value = column(row, "group_wait", &isnull), *repeats = NULL;
	int n;

	if (!isnull)
		check_length(row, "group_wait", value, 0);
	value = column(row, "group_interval", &isnull);
	if (!isnull)
		check_length(row, "group_interval", value, 1);
	n = elements(row, "repeat_interval", INTERVALOID, &repeats);
	if (n == 0)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid repeat_interval", "The array is empty.",
			   "NULL inherits it; {10 years} never repeats.");
	for (int i = 0; i < n; i++)
		check_length(row, "repeat_interval", repeats[i], 1);
}

static void
check_group_by(const RouteRow *row)
{
	char **labels;
	int n = names(row, "group_by", &labels);

	for (int i = 0; i < n; i++)
		if (strcmp(labels[i], "...") == 0 && n > 1)
			refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid group_by", "... stands for all labels.",
				   "Write {...} alone, or the names of labels.");
}

static void
check_time_intervals(const RouteRow *row, const char *column_name)
{
	static const Oid types[] = {TEXTOID};
	char **wanted;
	int n = names(row, column_name, &wanted);

	for (int i = 0; i < n; i++) {
		Datum values[] = {CStringGetTextDatum(wanted[i])};
		struct nearest nearest;

		if (observ_spi(SPI_OK_SELECT, "SELECT 1 FROM observ.time_intervals WHERE name = $1", 1, types, values,
					   NULL) > 0)
			continue;
		nearest_begin(&nearest, wanted[i], 0);
		observ_spi(SPI_OK_SELECT, "SELECT name FROM observ.time_intervals ORDER BY name", 0, NULL, NULL,
				   NULL);
		for (uint64 j = 0; j < SPI_tuptable->numvals; j++)
			nearest_consider(&nearest, SPI_getvalue(SPI_tuptable->vals[j], SPI_tuptable->tupdesc, 1));
		refuse(row, ERRCODE_UNDEFINED_OBJECT, psprintf("unknown time interval in %s", column_name),
			   psprintf("There is no time interval \"%s\".", wanted[i]),
			   nearest.name != NULL ? psprintf("Perhaps \"%s\" is meant.", nearest.name)
									: "INSERT it into observ.time_intervals first.");
	}
}

static void
check_matchers(const RouteRow *row)
{
	bool isnull;
	Datum value = column(row, "matchers", &isnull);
	char *given;

	if (isnull)
		return; /* NOT NULL says it better */
	given = TextDatumGetCString(value);
	observ_check_matcher_sets(given, false, "route");
	if (row->root && strspn(given, "{} \t\r\n") != strlen(given))
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid matchers",
			   "The root takes every alert that no other route takes.",
			   "Leave its matchers {}, and add a route below it.");
}

/* Nobody is above the root, from whom it could inherit. */
static void
check_root(const RouteRow *row)
{
	static const char *const needed[] = {"channels", "group_by", "group_wait", "group_interval",
										 "repeat_interval"};
	bool isnull;
	char **channels;

	for (size_t i = 0; i < lengthof(needed); i++) {
		(void) column(row, needed[i], &isnull);
		if (isnull)
			refuse(row, ERRCODE_NULL_VALUE_NOT_ALLOWED, psprintf("missing %s", needed[i]),
				   "The root route has nothing to inherit it from.", NULL);
	}
	if (names(row, "channels", &channels) == 0)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "empty channels",
			   "What no other route takes would be told to nobody.", NULL);
	if (!DatumGetBool(column(row, "enabled", &isnull)) && !isnull)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid enabled",
			   "The root takes every alert that no other route takes.", NULL);
}

/* Whether a route is below another, or is it: as the tree is now, of which the transaction's snapshot may not know. */
static bool
is_below(int64 route_id, int64 above)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(route_id), Int64GetDatum(above)};

	return observ_spi_read_now(
			   &plan,
			   "WITH RECURSIVE up AS (SELECT route_id, parent_id FROM observ.routes WHERE route_id = $1 "
			   "UNION SELECT r.route_id, r.parent_id FROM up JOIN observ.routes r ON r.route_id = "
			   "up.parent_id) "
			   "SELECT FROM up WHERE route_id = $2",
			   lengthof(types), types, values, NULL) > 0;
}

/* A route must be below one that there is, and stays there until we are through, and not below itself. */
static void
check_parent(const RouteRow *row, int64 parent, bool moves)
{
	static const Oid types[] = {INT8OID};
	bool isnull;
	int64 route_id = DatumGetInt64(column(row, "route_id", &isnull));
	Datum values[] = {Int64GetDatum(parent)};

	if (observ_spi(SPI_OK_SELECT, "SELECT FROM observ.routes WHERE route_id = $1 FOR KEY SHARE", 1, types,
				   values, NULL) == 0)
		refuse(row, ERRCODE_FOREIGN_KEY_VIOLATION, "invalid parent_id",
			   psprintf("There is no route with route_id " INT64_FORMAT ".", parent),
			   "Leave it out for a route below the root.");
	/* One that is new has none below it. Of two sessions that move routes the second must see where the first has put them. */
	if (moves)
		observ_wait_for_lock(OBSERV_LOCK_ROUTES);
	if (route_id == parent || (moves && is_below(parent, route_id)))
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid parent_id", "It is below itself then.",
			   "See SELECT * FROM observ.explain_route('{}').");
}

/* route_id of the root; 0: there is none yet. */
static int64
find_root(void)
{
	bool isnull;

	if (observ_spi(SPI_OK_SELECT, "SELECT route_id FROM observ.routes WHERE parent_id IS NULL", 0, NULL, NULL,
				   NULL) == 0)
		return 0;
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

/* Finds out whose child it is: the root's, when that is not said. Returns the tuple with it. */
static HeapTuple
complete_parent(RouteRow *row, const RouteRow *old)
{
	bool isnull, no_id, was_root = false;
	int64 parent = DatumGetInt64(column(row, "parent_id", &isnull)), old_parent = 0, root = 0;
	int number;
	Datum value;

	if (old != NULL) {
		old_parent = DatumGetInt64(column(old, "parent_id", &was_root));
		if (DatumGetInt64(column(old, "route_id", &no_id)) != DatumGetInt64(column(row, "route_id", &no_id)))
			refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid route_id", "It can't be changed.", NULL);
	}
	row->root = isnull && (old == NULL || was_root);
	if (was_root && !isnull)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid parent_id", "The root is below no other route.",
			   NULL);
	if (!isnull) {
		check_parent(row, parent, old != NULL && parent != old_parent);
		return row->tuple;
	}
	if (row->root && (old != NULL || (root = find_root()) == 0))
		return row->tuple;
	if (old != NULL)
		refuse(row, ERRCODE_INVALID_PARAMETER_VALUE, "invalid parent_id", "There is one root only.",
			   "Give the route_id of the route that it is to be below.");
	row->root = false;
	number = SPI_fnumber(row->desc, "parent_id");
	value = Int64GetDatum(root);
	isnull = false;
	return heap_modify_tuple_by_cols(row->tuple, row->desc, 1, &number, &value, &isnull);
}

static RouteRow
row_of(HeapTuple tuple, TupleDesc desc)
{
	RouteRow row = {.tuple = tuple, .desc = desc, .name = ""};
	bool isnull;
	Datum name = column(&row, "name", &isnull);

	if (!isnull)
		row.name = TextDatumGetCString(name);
	return row;
}

static HeapTuple
check(TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	RouteRow old = row_of(trigger->tg_trigtuple, desc), row = old;
	bool update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	char **channels;
	bool isnull;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event)) {
		(void) column(&old, "parent_id", &isnull);
		if (isnull)
			ereport(ERROR, (errcode(ERRCODE_RESTRICT_VIOLATION), errmsg("the root route can't be deleted"),
							errdetail("It takes every alert that no other route takes."),
							errhint("Give it other channels instead.")));
		return trigger->tg_trigtuple;
	}
	if (update)
		row = row_of(trigger->tg_newtuple, desc);
	if (row.name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a route must have a name")));
	row.tuple = complete_parent(&row, update ? &old : NULL);
	check_matchers(&row);
	check_lengths(&row);
	check_group_by(&row);
	(void) names(&row, "channels", &channels);
	check_time_intervals(&row, "mute_time_intervals");
	check_time_intervals(&row, "active_time_intervals");
	if (row.root)
		check_root(&row);
	return row.tuple;
}

/* observ_data._check_route(): BEFORE INSERT OR UPDATE OR DELETE on observ.routes, for each row. */
Datum
observ_check_route(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = observ_trigger(fcinfo);
	MemoryContext context = CurrentMemoryContext;
	ObservIdentity saved;
	HeapTuple tuple;

	/* Rows of a dump come in any order, and before the time intervals that they name. */
	if (observ_restores_a_dump(trigger))
		return PointerGetDatum(trigger->tg_trigtuple);
	saved = observ_as_owner_begin();
	SPI_connect();
	tuple = check(trigger);
	if (tuple != trigger->tg_trigtuple && tuple != trigger->tg_newtuple) {
		/* It was made in memory that goes with SPI. */
		MemoryContext before = MemoryContextSwitchTo(context);

		tuple = heap_copytuple(tuple);
		MemoryContextSwitchTo(before);
	}
	SPI_finish();
	observ_as_owner_end(&saved);
	return PointerGetDatum(tuple);
}

/* What a route inherits is known only when it is written. */
static void
warn_of(const RouteRow *row)
{
	ObservRoutes *routes = observ_load_routes();
	bool isnull;
	int i = observ_route_by_id(routes, DatumGetInt64(column(row, "route_id", &isnull)));

	for (int r = 0; i >= 0 && r < routes->route[i].n_repeat; r++)
		if (routes->route[i].repeat_us[r] < routes->route[i].group_interval_us) {
			ereport(WARNING,
					(errmsg("repeat_interval of route \"%s\" is shorter than its group_interval", row->name),
					 errdetail(
						 "Groups are looked at once per group_interval: so often it is repeated at most.")));
			return;
		}
}

/* Its children go with a route, and theirs with them. */
static void
delete_children(const RouteRow *row)
{
	static const Oid types[] = {INT8OID};
	bool isnull;
	Datum values[] = {column(row, "route_id", &isnull)};

	observ_spi(SPI_OK_DELETE, "DELETE FROM observ.routes WHERE parent_id = $1", 1, types, values, NULL);
}

/* observ_data._follow_route(): AFTER INSERT OR UPDATE OR DELETE on observ.routes, for each row. */
Datum
observ_follow_route(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = observ_trigger(fcinfo);
	ObservIdentity saved;
	RouteRow row;

	if (observ_restores_a_dump(trigger))
		return PointerGetDatum(NULL);
	row = row_of(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple,
				 RelationGetDescr(trigger->tg_relation));
	saved = observ_as_owner_begin();
	SPI_connect();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		delete_children(&row);
	else
		warn_of(&row);
	SPI_finish();
	observ_as_owner_end(&saved);
	return PointerGetDatum(NULL);
}
