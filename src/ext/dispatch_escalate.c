/*
 * Clocks of escalations, and the steps that are due (C24). What does not belong here: which alerts a step takes (escalations.c, dispatch_route.c), what
 * its channels are told (dispatch_decide.c).
 *
 * A step makes a group of its own of each group of a route, of the alerts in it that the step takes; group_members.due_at says since when the
 * step is due. An alert has one clock for all its steps. It is written when it begins to run or stands still, not while it does.
 */
#include "postgres.h"

#include "ext/dispatch.h"

#include "catalog/pg_type.h"
#include "core/escalation.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char steps_sql[] =
	"SELECT m.alert_id, m.group_key, g.escalation_id, g.route_id, m.due_at IS NOT NULL "
	"FROM observ_data.alert_groups g JOIN observ_data.group_members m USING (group_key) "
	"WHERE g.escalation_id IS NOT NULL AND NOT m.departed ORDER BY m.alert_id, m.group_key";
static const char clocks_sql[] =
	"SELECT alert_id, waited_us, running_since FROM observ_data.escalation_clocks ORDER BY alert_id";

static const char keep_sql[] =
	"INSERT INTO observ_data.escalation_clocks AS c (alert_id, waited_us, running_since) "
	"SELECT n.alert_id, n.waited_us, nullif(n.running_since, '-infinity') "
	"FROM unnest($1, $2, $3) n (alert_id, waited_us, running_since) "
	"ON CONFLICT (alert_id) DO UPDATE SET waited_us = excluded.waited_us, "
	"running_since = excluded.running_since";
static const Oid keep_types[] = {INT8OID, INT8OID, TIMESTAMPTZOID};
static const char drop_sql[] = "DELETE FROM observ_data.escalation_clocks WHERE alert_id = ANY ($1)";
static const Oid drop_types[] = {INT8OID};

/* Returns the groups that nobody was told of yet. The others are told at their next flush. */
static const char due_sql[] =
	"WITH n AS (UPDATE observ_data.group_members m SET due_at = n.at "
	"  FROM unnest($1, $2, $3) n (group_key, alert_id, at) "
	"  WHERE m.group_key = n.group_key AND m.alert_id = n.alert_id RETURNING m.group_key) "
	"SELECT DISTINCT group_key FROM n WHERE NOT EXISTS "
	"(SELECT FROM observ_data.told t WHERE t.group_key = n.group_key AND t.state = 'firing')";
static const Oid due_types[] = {TEXTOID, INT8OID, TIMESTAMPTZOID};

/* An alert that a step takes. */
typedef struct Step {
	int64 alert_id;
	Datum key;
	const ObservEscalation *escalation;
	int64 route_id;
	bool due;
} Step;

typedef struct Clock {
	int64 alert_id;
	struct escalation_clock clock;
} Clock;

typedef struct Pass {
	Dispatch *dispatch;
	int n_steps, n_clocks, n_alerts;
	Step *steps;
	Clock *clocks;
	ObservAlert *alerts;
	ObservRowBatch *keep, *drop, *due;
} Pass;

StaticAssertDecl(ESCALATION_PAUSED == DT_NOBEGIN, "a clock that stands still is written as -infinity");

static void
read_steps(Pass *pass)
{
	pass->n_steps = (int) observ_spi(SPI_OK_SELECT, steps_sql, 0, NULL, NULL, NULL);
	pass->steps = palloc_extended(Max(pass->n_steps, 1) * sizeof(Step), MCXT_ALLOC_HUGE);
	for (int i = 0; i < pass->n_steps; i++) {
		bool isnull;

		pass->steps[i] = (Step){
			.alert_id = DatumGetInt64(observ_spi_value(i, 1, &isnull)),
			.key = CStringGetTextDatum(TextDatumGetCString(observ_spi_value(i, 2, &isnull))),
			.escalation = observ_escalation_by_id(pass->dispatch->escalations,
												  DatumGetInt64(observ_spi_value(i, 3, &isnull))),
			.route_id = DatumGetInt64(observ_spi_value(i, 4, &isnull)),
			.due = DatumGetBool(observ_spi_value(i, 5, &isnull)),
		};
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
read_clocks(Pass *pass)
{
	pass->n_clocks = (int) observ_spi(SPI_OK_SELECT, clocks_sql, 0, NULL, NULL, NULL);
	pass->clocks = palloc_extended(Max(pass->n_clocks, 1) * sizeof(Clock), MCXT_ALLOC_HUGE);
	for (int i = 0; i < pass->n_clocks; i++) {
		bool isnull;
		Datum since;

		pass->clocks[i].alert_id = DatumGetInt64(observ_spi_value(i, 1, &isnull));
		pass->clocks[i].clock.waited = DatumGetInt64(observ_spi_value(i, 2, &isnull));
		since = observ_spi_value(i, 3, &isnull);
		pass->clocks[i].clock.since = isnull ? ESCALATION_PAUSED : DatumGetTimestampTz(since);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* By their numbers: memberships were written a moment ago, and are not in the snapshot that alerts are read in. */
static void
read_alerts(Pass *pass)
{
	static const Oid types[] = {INT8ARRAYOID};
	Datum *ids = palloc_extended(Max(pass->n_steps, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	Datum values[1];
	int n = 0;

	for (int i = 0; i < pass->n_steps; i++)
		if (i == 0 || pass->steps[i].alert_id != pass->steps[i - 1].alert_id)
			ids[n++] = Int64GetDatum(pass->steps[i].alert_id);
	values[0] = observ_array(ids, n, INT8OID);
	pass->alerts =
		observ_load_alerts(pass->dispatch->at, "a.alert_id = ANY ($1)", 1, types, values, &pass->n_alerts);
}

/* Whether somebody is, or would be, told of it through one of these groups, and nobody has acknowledged it. */
static bool
runs(Pass *pass, const ObservAlert *alert, const Step *steps, int n)
{
	const Dispatch *d = pass->dispatch;

	if (alert->acknowledged || (alert->status != ALERT_FIRING && alert->status != ALERT_RECOVERING) ||
		observ_suppression_of(d->suppressions, alert).by != SUPPRESSED_NOT)
		return false;
	for (int i = 0; i < n; i++) {
		int route = observ_route_by_id(d->routes, steps[i].route_id);

		if (route < 0 || d->interval[route] == NULL)
			return true;
	}
	return false;
}

static void
keep(Pass *pass, int64 alert_id, const struct escalation_clock *clock)
{
	observ_row_batch_add(
		pass->keep,
		(Datum[]){Int64GetDatum(alert_id), Int64GetDatum(clock->waited), TimestampTzGetDatum(clock->since)},
		NULL);
}

/* The steps of one alert; clock: NULL when it has none yet. */
static void
escalate_alert(Pass *pass, const ObservAlert *alert, const Step *steps, int n, struct escalation_clock *clock)
{
	TimestampTz at = pass->dispatch->at;
	bool running = runs(pass, alert, steps, n), changed = clock == NULL;
	struct escalation_clock fresh;

	if (clock == NULL) {
		/* What was reopened was not told as firing in between. */
		fresh = escalation_clock_begin(running, alert->reopened > 0 ? at : Min(alert->starts_at, at));
		clock = &fresh;
	} else
		changed = escalation_clock_set(clock, running, at);
	if (changed)
		keep(pass, alert->alert_id, clock);
	for (int i = 0; i < n; i++)
		if (!steps[i].due && steps[i].escalation != NULL &&
			escalation_is_due(clock, steps[i].escalation->after_us, at))
			observ_row_batch_add(
				pass->due, (Datum[]){steps[i].key, Int64GetDatum(alert->alert_id), TimestampTzGetDatum(at)},
				NULL);
}

/* Steps, alerts and clocks are in the order of alerts. */
static void
escalate_all(Pass *pass)
{
	int a = 0, c = 0;

	for (int i = 0, n; i < pass->n_steps; i += n) {
		int64 alert_id = pass->steps[i].alert_id;
		struct escalation_clock *clock = NULL;

		for (n = 1; i + n < pass->n_steps && pass->steps[i + n].alert_id == alert_id; n++)
			;
		while (a < pass->n_alerts && pass->alerts[a].alert_id < alert_id)
			a++;
		/* Nothing is to be escalated any more: the clock goes. */
		if (a == pass->n_alerts || pass->alerts[a].alert_id != alert_id ||
			!observ_is_trouble(pass->dispatch->at, &pass->alerts[a]))
			continue;
		for (; c < pass->n_clocks && pass->clocks[c].alert_id < alert_id; c++)
			observ_row_batch_add(pass->drop, (Datum[]){Int64GetDatum(pass->clocks[c].alert_id)}, NULL);
		if (c < pass->n_clocks && pass->clocks[c].alert_id == alert_id)
			clock = &pass->clocks[c++].clock;
		escalate_alert(pass, &pass->alerts[a], &pass->steps[i], n, clock);
	}
	for (; c < pass->n_clocks; c++)
		observ_row_batch_add(pass->drop, (Datum[]){Int64GetDatum(pass->clocks[c].alert_id)}, NULL);
}

void
observ_escalate(Dispatch *dispatch)
{
	static SPIPlanPtr keep_plan = NULL, drop_plan = NULL, due_plan = NULL;
	Pass pass = {.dispatch = dispatch};
	uint64 n;

	read_steps(&pass);
	read_clocks(&pass);
	if (pass.n_steps == 0 && pass.n_clocks == 0)
		return;
	observ_read_circumstances(dispatch);
	read_alerts(&pass);
	pass.keep = observ_row_batch(keep_types, lengthof(keep_types));
	pass.drop = observ_row_batch(drop_types, lengthof(drop_types));
	pass.due = observ_row_batch(due_types, lengthof(due_types));
	escalate_all(&pass);
	observ_row_batch_run(pass.keep, &keep_plan, SPI_OK_INSERT, keep_sql);
	observ_row_batch_run(pass.drop, &drop_plan, SPI_OK_DELETE, drop_sql);
	n = observ_row_batch_run(pass.due, &due_plan, SPI_OK_SELECT, due_sql);
	for (uint64 i = 0; i < n; i++) {
		bool isnull;

		dispatch->released =
			lappend(dispatch->released, TextDatumGetCString(observ_spi_value(i, 1, &isnull)));
	}
}
