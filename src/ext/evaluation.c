/*
 * observ.evaluate_alerts(at): from rows to states of alerts, in one transaction and one snapshot.
 * What does not belong here: values (rule_*.c), what becomes of alerts (evaluation_settle.c), writing (alert_write.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/evaluation_parts.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_evaluate_alerts);

/* How often counts in the fleet summary are looked at though nothing changed; for how long at each evaluation. */
#define RECOUNT_EVERY_US (INT64CONST(300) * USECS_PER_SEC)
#define YOUNG_US         (INT64CONST(60) * USECS_PER_SEC)

typedef struct Source {
	enum rule_source source;
	ObservEvaluateRules *evaluate;
} Source;

static const Source sources[] = {
	{RULE_VPS_METRICS, observ_evaluate_vps_metrics},       {RULE_ABSENCE, observ_evaluate_absence},
	{RULE_HEALTH_CHECKS, observ_evaluate_health_checks},   {RULE_QUERY, observ_evaluate_queries},
	{RULE_METRIC_SAMPLES, observ_evaluate_metric_samples}, {RULE_LOG_ENTRIES, observ_evaluate_log_entries},
};

/* One call of the function. */
typedef struct Call {
	ObservEvaluation evaluation;
	TimestampTz asked, at, before;
	int slots, rules, failed, pending, firing, resolved;
	ObservWritten written;
} Call;

/* One source with its rules: what runs in a subtransaction. */
typedef struct Work {
	ObservEvaluation *evaluation;
	const Source *source;
	ObservRule **rules;
	int n;
} Work;

static void
run_source(void *arg)
{
	Work *work = arg;

	work->source->evaluate(work->evaluation, work->rules, work->n);
}

static void
evaluate_source(ObservEvaluation *evaluation, const Source *source)
{
	Work work = {
		evaluation, source,
		MemoryContextAlloc(evaluation->slot_context, sizeof(ObservRule *) * Max(evaluation->n_rules, 1)), 0};
	ErrorData *error;

	/* SPI leaves its own behind. */
	MemoryContextSwitchTo(evaluation->slot_context);

	for (int i = 0; i < evaluation->n_rules; i++)
		if (evaluation->progress[i].due && evaluation->rules[i].error == NULL &&
			evaluation->rules[i].source == source->source)
			work.rules[work.n++] = &evaluation->rules[i];
	if (work.n == 0)
		return;
	error = observ_in_subtransaction(run_source, &work);
	for (int i = 0; error != NULL && i < work.n; i++)
		observ_rule_failed(evaluation, work.rules[i], unpack_sql_state(error->sqlerrcode), error->message);
}

void
observ_ask_sources(ObservEvaluation *evaluation)
{
	for (int i = 0; i < (int) lengthof(sources); i++)
		evaluate_source(evaluation, &sources[i]);
}

static void
evaluate_at(Call *call, TimestampTz time, bool is_last)
{
	ObservEvaluation *evaluation = &call->evaluation;
	MemoryContext before = MemoryContextSwitchTo(evaluation->slot_context);

	evaluation->at = time;
	call->rules = observ_choose_due(evaluation, time, is_last);
	observ_begin_telling(evaluation);
	observ_ask_sources(evaluation);
	observ_settle(evaluation);
	call->slots++;
	MemoryContextSwitchTo(before);
	MemoryContextReset(evaluation->slot_context);
}

static void
read_state(Call *call)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;

	if (observ_spi_read(&plan, "SELECT evaluated_at FROM observ_data.evaluation_state", 0, NULL, NULL,
						NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("observ_data.evaluation_state is empty"),
				 errhint("INSERT INTO observ_data.evaluation_state VALUES ('-infinity', '-infinity').")));
	call->before = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
	call->at = observ_timer_time(call->asked, call->before);
}

static void
write_state(const Call *call)
{
	static SPIPlanPtr plan = NULL;
	Datum value = TimestampTzGetDatum(call->at);

	if (call->at != call->before)
		observ_spi_kept(&plan, SPI_OK_UPDATE, "UPDATE observ_data.evaluation_state SET evaluated_at = $1", 1,
						(Oid[]){TIMESTAMPTZOID}, &value, NULL);
}

/* The row of its VPS in the summary may be younger than it: the refresh makes that when it sees the sample that the alert came from. */
static bool
is_young(const ObservLiveAlert *alert, TimestampTz at)
{
	return alert->state.status != ALERT_PENDING && alert->state.fired_at > at - YOUNG_US;
}

/* VPSs whose counts may have changed; all of them now and then, for people change alerts too. */
static void
count_again(const Call *call)
{
	const ObservAlertStore *store = call->evaluation.store;
	Datum *names = palloc(sizeof(Datum) * Max(store->n, 1));
	int n = 0;

	if (TIMESTAMP_NOT_FINITE(call->before) ||
		observ_floor_time(call->at, RECOUNT_EVERY_US) != observ_floor_time(call->before, RECOUNT_EVERY_US)) {
		observ_count_alerts(NULL);
		return;
	}
	for (int i = 0; i < store->n; i++) {
		const ObservLiveAlert *alert = store->all[i];

		if (alert->instance.vps_name != NULL &&
			((alert->changed && (alert->unrouted || alert->relabelled)) || is_young(alert, call->at)))
			names[n++] = CStringGetTextDatum(alert->instance.vps_name);
	}
	if (n > 0)
		observ_count_alerts(DatumGetArrayTypeP(observ_array(names, n, TEXTOID)));
}

static void
count_results(Call *call)
{
	const ObservAlertStore *store = call->evaluation.store;

	for (int i = 0; i < store->n; i++) {
		const ObservLiveAlert *alert = store->all[i];
		enum alert_status status = alert->state.status;

		if (alert->gone || alert->lost || (!alert->stored && !alert->changed))
			continue;
		call->pending += status == ALERT_PENDING;
		call->firing += status == ALERT_FIRING || status == ALERT_RECOVERING;
	}
	for (int i = 0; i < store->n_events; i++)
		call->resolved += store->events[i].event == ALERT_EVENT_RESOLVED && !store->events[i].alert->lost;
}

static void
evaluate(Call *call)
{
	ObservEvaluation *evaluation = &call->evaluation;
	TimestampTz *times;
	int n;

	evaluation->context =
		AllocSetContextCreate(CurrentMemoryContext, "observ alerts", ALLOCSET_DEFAULT_SIZES);
	evaluation->slot_context =
		AllocSetContextCreate(evaluation->context, "observ evaluation", ALLOCSET_DEFAULT_SIZES);
	read_state(call);
	evaluation->rules = observ_load_rules(0, &evaluation->n_rules);
	evaluation->progress = palloc0(sizeof(ObservRuleProgress) * Max(evaluation->n_rules, 1));
	observ_read_rule_state(evaluation, call->before);
	evaluation->store = observ_alert_store(evaluation->context);
	observ_read_alerts(evaluation->store);
	observ_assign_alerts(evaluation);
	evaluation->at = call->at;
	times = observ_evaluation_times(evaluation, call->at, &n);
	for (int i = 0; i < n; i++)
		evaluate_at(call, times[i], i == n - 1);
	observ_close_orphans(evaluation);
	for (int i = 0; i < evaluation->n_rules; i++)
		call->failed += evaluation->progress[i].failed;
	observ_write_alerts(evaluation, evaluation->store, &call->written);
	observ_write_rule_state(evaluation);
	count_again(call);
	write_state(call);
	count_results(call);
	MemoryContextDelete(evaluation->context);
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Call *call)
{
	Datum values[11];
	bool nulls[11] = {false};

	values[0] = CStringGetTextDatum(status);
	values[1] = TimestampTzGetDatum(call->at);
	nulls[1] = call->slots == 0;
	values[2] = Int32GetDatum(call->slots);
	values[3] = Int32GetDatum(call->rules);
	values[4] = Int32GetDatum(call->failed);
	values[5] = Int32GetDatum(call->pending);
	values[6] = Int32GetDatum(call->firing);
	values[7] = Int32GetDatum(call->resolved);
	values[8] = Int32GetDatum(call->written.history);
	values[9] = Int32GetDatum(call->written.refreshed);
	values[10] = Int32GetDatum(call->written.lost);
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.evaluate_alerts(at) → one row; see its COMMENT. Errors: 22008 for an infinite time.
 */
Datum
observ_evaluate_alerts(PG_FUNCTION_ARGS)
{
	Call call = {.asked = observ_job_time(fcinfo)};
	ObservIdentity saved;
	const char *refused = observ_job_guard(OBSERV_LOCK_EVALUATE);

	if (refused != NULL)
		return result_row(fcinfo, refused, &call);
	saved = observ_as_owner_begin();
	SPI_connect();
	/* Taken after the lock: what the evaluation before wrote is seen. All reads are in this one. */
	PushActiveSnapshot(GetTransactionSnapshot());
	evaluate(&call);
	PopActiveSnapshot();
	SPI_finish();
	observ_as_owner_end(&saved);
	return result_row(fcinfo, call.at == call.asked ? "ok" : "clock behind", &call);
}
