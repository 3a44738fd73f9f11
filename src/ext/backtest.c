/*
 * observ.backtest_rule(): what a rule would have done to stored rows. The same sources and the same state machine as in observ.evaluate_alerts(),
 * with alerts that are never written.
 * What does not belong here: values (rule_*.c), states (evaluation_settle.c), notifications (backtest_notify.c).
 */
#include "postgres.h"

#include "ext/backtest.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/alert_text.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_backtest_rule_name);
OBSERV_SQL_FUNCTION(observ_backtest_rule_json);

#define MAX_STEPS 10000
/* Rows come once a minute as a rule: looking more often than that shows nothing new. */
#define DEFAULT_STEP USECS_PER_MINUTE

enum BacktestArgument { ARG_RULE, ARG_FROM, ARG_TO, ARG_STEP };

/* Evaluations in a row that failed with the same message. */
typedef struct Failure {
	TimestampTz first, last;
	const char *message;
	int n;
} Failure;

typedef struct Backtest {
	ObservEvaluation evaluation;
	ObservRuleProgress progress;
	TimestampTz from, to;
	int64 step;
	List *failures; /* of Failure */
	ObservEpisode *episodes;
	int n_episodes;
	List *notes; /* of ObservBacktestNote */
} Backtest;

static const char json_channels_sql[] =
	"SELECT NULL, array(SELECT jsonb_array_elements_text($1->'notification_channels')) "
	"WHERE jsonb_typeof($1->'notification_channels') = 'array'";

/* ---- arguments */

static TimestampTz
moment(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("\"%s\" must not be null", name)));
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(argument)))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("\"%s\" must be finite", name)));
	return PG_GETARG_TIMESTAMPTZ(argument);
}

static void
read_times(FunctionCallInfo fcinfo, const ObservRule *rule, Backtest *test)
{
	bool given = !PG_ARGISNULL(ARG_STEP);
	int64 range;

	test->from = moment(fcinfo, ARG_FROM, "from");
	test->to = moment(fcinfo, ARG_TO, "to");
	if (test->from >= test->to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"from\" must be before \"to\"")));
	range = test->to - test->from;
	test->step = given ? observ_interval_usecs(PG_GETARG_INTERVAL_P(ARG_STEP))
					   : (rule->interval_us > 0 ? rule->interval_us : DEFAULT_STEP);
	if (test->step < USECS_PER_SEC)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("step must be a second or more")));
	if (given && range / test->step >= MAX_STEPS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many steps"),
						errdetail("There are " INT64_FORMAT "; at most %d are made.", range / test->step + 1,
								  MAX_STEPS),
						errhint("Take a longer step, or leave it out.")));
	while (range / test->step >= MAX_STEPS)
		test->step *= 2;
}

/* ---- replaying */

static void
begin(Backtest *test, ObservRule *rule)
{
	ObservEvaluation *evaluation = &test->evaluation;

	/* Nothing that the real rule has done is to be found. */
	rule->rule_id = 0;
	rule->index = 0;
	evaluation->context = CurrentMemoryContext;
	evaluation->slot_context =
		AllocSetContextCreate(CurrentMemoryContext, "observ backtest", ALLOCSET_DEFAULT_SIZES);
	evaluation->rules = rule;
	evaluation->progress = &test->progress;
	evaluation->n_rules = 1;
	evaluation->store = observ_alert_store(CurrentMemoryContext);
	test->progress = (ObservRuleProgress){.version = rule->version,
										  .known = true,
										  .last = DT_NOBEGIN,
										  .error_since = DT_NOBEGIN,
										  .data_seen_at = DT_NOBEGIN,
										  .each = test->step,
										  .replay_from = DT_NOEND,
										  .due = true};
}

static void
note_failure(Backtest *test, const char *message)
{
	Failure *failure = test->failures == NIL ? NULL : llast(test->failures);

	if (failure == NULL || failure->last != test->evaluation.at - test->step ||
		strcmp(failure->message, message) != 0) {
		failure = palloc0(sizeof(Failure));
		failure->first = test->evaluation.at;
		failure->message = pstrdup(message);
		test->failures = lappend(test->failures, failure);
	}
	failure->last = test->evaluation.at;
	failure->n++;
}

/* What was pending and cleared is not looked at any more. */
static void
forget_gone(ObservRuleProgress *progress)
{
	ObservLiveAlert **link = &progress->alerts;

	while (*link != NULL)
		if ((*link)->gone)
			*link = (*link)->next_of_rule;
		else
			link = &(*link)->next_of_rule;
}

static void
replay(Backtest *test)
{
	ObservEvaluation *evaluation = &test->evaluation;
	ObservRule *rule = evaluation->rules;

	for (TimestampTz at = observ_floor_time(test->from + test->step - 1, test->step); at <= test->to;
		 at += test->step) {
		MemoryContext caller = MemoryContextSwitchTo(evaluation->slot_context);

		CHECK_FOR_INTERRUPTS();
		evaluation->at = at;
		rule->error = rule->sqlstate = NULL;
		observ_begin_telling(evaluation);
		observ_ask_sources(evaluation);
		observ_settle(evaluation);
		forget_gone(&test->progress);
		MemoryContextSwitchTo(caller);
		if (rule->error != NULL)
			note_failure(test, rule->error);
		MemoryContextReset(evaluation->slot_context);
	}
}

/* ---- episodes */

static int
compare_episodes(const void *a, const void *b)
{
	const ObservEpisode *x = a, *y = b;
	const char *left = x->alert->instance.vps_name, *right = y->alert->instance.vps_name;
	int order;

	if (x->pending_at != y->pending_at)
		return x->pending_at < y->pending_at ? -1 : 1;
	order = strcmp(left ? left : "", right ? right : "");
	if (order != 0)
		return order;
	left = x->alert->instance.app_name;
	right = y->alert->instance.app_name;
	order = strcmp(left ? left : "", right ? right : "");
	return order != 0 ? order : compareJsonbContainers(&x->labels->root, &y->labels->root);
}

static ObservEpisode *
episode_of(Backtest *test, HTAB *table, const ObservLiveAlert *alert)
{
	struct {
		const ObservLiveAlert *alert;
		int number;
	} * entry;
	bool found;

	entry = hash_search(table, &alert, HASH_ENTER, &found);
	if (!found) {
		const ObservInstance *instance = &alert->instance;

		entry->number = test->n_episodes++;
		test->episodes[entry->number] = (ObservEpisode){
			.alert = alert,
			.labels = observ_alert_labels(test->evaluation.rules, instance,
										  observ_vps_labels(&test->evaluation, instance->vps_name)),
			.pending_at = DT_NOEND,
			.fired_at = DT_NOEND,
			.ended_at = DT_NOEND};
	}
	return &test->episodes[entry->number];
}

static void
take_event(ObservEpisode *episode, const ObservAlertEvent *event)
{
	switch (event->event) {
	case ALERT_EVENT_PENDING:
		episode->pending_at = event->at;
		break;
	case ALERT_EVENT_FIRING:
		episode->fired_at = event->at;
		break;
	case ALERT_EVENT_REOPENED:
		episode->ended_at = DT_NOEND;
		episode->reason = NULL;
		break;
	case ALERT_EVENT_RESOLVED:
	case ALERT_EVENT_INACTIVE:
		episode->ended_at = event->at;
		episode->reason = event->reason;
		episode->continued = event->reason != NULL && strncmp(event->reason, "goes on", 7) == 0;
		break;
	default:
		break;
	}
}

/* From what history would have kept: episodes, and the notifications about them. One that was reopened goes on. */
static void
find_episodes(Backtest *test, const ObservNames *channels)
{
	const ObservAlertStore *store = test->evaluation.store;
	HASHCTL ctl = {.keysize = sizeof(void *), .entrysize = 2 * sizeof(void *), .hcxt = CurrentMemoryContext};
	HTAB *table =
		hash_create("observ episodes", Max(store->n, 16), &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ObservBacktestEvent *events =
		palloc_extended(sizeof(ObservBacktestEvent) * Max(store->n_events, 1), MCXT_ALLOC_HUGE);

	test->episodes = palloc_extended(sizeof(ObservEpisode) * Max(store->n, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < store->n_events; i++) {
		ObservEpisode *episode = episode_of(test, table, store->events[i].alert);

		take_event(episode, &store->events[i]);
		events[i] = (ObservBacktestEvent){store->events[i].at, store->events[i].event, episode};
	}
	test->notes = observ_backtest_notes(events, store->n_events, channels, test->to);
	qsort(test->episodes, test->n_episodes, sizeof(ObservEpisode), compare_episodes);
}

/* ---- the result */

enum BacktestColumn {
	COL_KIND,
	COL_STARTED,
	COL_FIRED,
	COL_ENDED,
	COL_INSTANCE,
	COL_APP,
	COL_LABELS,
	COL_PEAK,
	COL_REOPENED,
	COL_CHANNEL,
	COL_ROUTE,
	COL_REASON,
	COL_FIRING,
	COL_RESOLVED,
	BACKTEST_COLUMNS
};

typedef struct Row {
	Datum values[BACKTEST_COLUMNS];
	bool nulls[BACKTEST_COLUMNS];
} Row;

static void
put(Row *row, enum BacktestColumn column, Datum value, bool known)
{
	row->values[column] = value;
	row->nulls[column] = !known;
}

static void
put_text(Row *row, enum BacktestColumn column, const char *value)
{
	put(row, column, value != NULL ? CStringGetTextDatum(value) : (Datum) 0, value != NULL);
}

static void
put_time(Row *row, enum BacktestColumn column, TimestampTz at)
{
	put(row, column, TimestampTzGetDatum(at), !TIMESTAMP_NOT_FINITE(at));
}

static Row
new_row(const char *kind)
{
	Row row;

	memset(row.nulls, true, sizeof(row.nulls));
	put_text(&row, COL_KIND, kind);
	return row;
}

static void
give(ReturnSetInfo *result, Row *row)
{
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}

static void
give_episode(ReturnSetInfo *result, const ObservEpisode *episode)
{
	const ObservLiveAlert *alert = episode->alert;
	bool fired = !TIMESTAMP_NOT_FINITE(episode->fired_at);
	Row row = new_row(fired ? "episode" : "pending");

	put_time(&row, COL_STARTED, episode->pending_at);
	put_time(&row, COL_FIRED, episode->fired_at);
	put_time(&row, COL_ENDED, episode->ended_at);
	put_text(&row, COL_INSTANCE, alert->instance.vps_name);
	put_text(&row, COL_APP, alert->instance.app_name);
	put(&row, COL_LABELS, JsonbPGetDatum(episode->labels), true);
	put(&row, COL_PEAK, Float8GetDatum(alert->peak), fired && !isnan(alert->peak));
	put(&row, COL_REOPENED, Int32GetDatum(alert->reopened), fired);
	put_text(&row, COL_REASON, episode->reason);
	give(result, &row);
}

static void
give_failure(ReturnSetInfo *result, const Failure *failure)
{
	Row row = new_row("error");

	put_time(&row, COL_STARTED, failure->first);
	put_time(&row, COL_ENDED, failure->last);
	put_text(&row, COL_REASON, failure->message);
	give(result, &row);
}

static void
give_note(ReturnSetInfo *result, const ObservBacktestNote *note)
{
	Row row = new_row("notification");

	put_time(&row, COL_STARTED, note->at);
	put(&row, COL_LABELS, JsonbPGetDatum(note->labels), true);
	put_text(&row, COL_CHANNEL, note->channel);
	put_text(&row, COL_ROUTE, note->route);
	put_text(&row, COL_REASON, note->reason);
	put(&row, COL_FIRING, Int32GetDatum(note->firing), true);
	put(&row, COL_RESOLVED, Int32GetDatum(note->resolved), true);
	give(result, &row);
}

static void
give_result(const Backtest *test, ReturnSetInfo *result)
{
	ListCell *cell;

	for (int i = 0; i < test->n_episodes; i++)
		if (!test->episodes[i].continued)
			give_episode(result, &test->episodes[i]);
	foreach (cell, test->notes)
		give_note(result, lfirst(cell));
	foreach (cell, test->failures)
		give_failure(result, lfirst(cell));
}

/* The channels that a rule names itself, a text[] of the current SPI result. */
static ObservNames
channels_of(void)
{
	ObservNames names = {.n = -1};

	if (SPI_processed > 0)
		names = observ_route_names(0, 2);
	return names;
}

/* In the memory of an SPI connection. */
static void
backtest(FunctionCallInfo fcinfo, ObservRule *rule, const ObservNames *channels)
{
	Backtest *test = palloc0(sizeof(Backtest));
	ObservIdentity saved;

	if (rule->error != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("alert rule \"%s\" can't be read: %s", rule->name, rule->error)));
	read_times(fcinfo, rule, test);
	saved = observ_as_owner_begin();
	/* Samples stay in memory from one step to the next; undone by observ_as_owner_end(). */
	(void) set_config_option("observ.evaluation_cache", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	begin(test, rule);
	replay(test);
	find_episodes(test, channels);
	observ_as_owner_end(&saved);
	give_result(test, (ReturnSetInfo *) fcinfo->resultinfo);
}

/*
 * observ.backtest_rule(rule, from, to, step) → set of rows, of a rule that is stored, by name, or of one that is not, as JSON; see their COMMENTs.
 * Errors: 42704 for a name that no rule has, those of an INSERT for JSON, 22023, 22004, 22008, 54000 for times.
 */
Datum
observ_backtest_rule_name(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	char *name = PG_ARGISNULL(ARG_RULE) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(ARG_RULE));
	Datum value = CStringGetTextDatum(name);
	ObservNames channels;
	ObservRule *rule;
	bool isnull;
	int n;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	if (observ_spi_read(&plan,
						"SELECT rule_id, notification_channels FROM observ.alert_rules WHERE name = $1", 1,
						(Oid[]){TEXTOID}, &value, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("alert rule \"%s\" does not exist", name),
				 errhint("SELECT name FROM observ.alert_rules lists them; a rule that is not stored is "
						 "given as jsonb.")));
	channels = channels_of();
	rule = observ_load_rules(DatumGetInt64(observ_spi_value(0, 1, &isnull)), &n);
	backtest(fcinfo, rule, &channels);
	SPI_finish();
	return (Datum) 0;
}

Datum
observ_backtest_rule_json(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	ObservNames channels;
	ObservRule *rule;
	Jsonb *json;
	Datum value;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_RULE))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("rule must not be null")));
	json = PG_GETARG_JSONB_P(ARG_RULE);
	value = JsonbPGetDatum(json);
	SPI_connect();
	rule = observ_rule_of_json(json);
	observ_spi_read(&plan, json_channels_sql, 1, (Oid[]){JSONBOID}, &value, NULL);
	channels = channels_of();
	backtest(fcinfo, rule, &channels);
	SPI_finish();
	return (Datum) 0;
}
